/* baselines.c -- forwarders that decide nothing: what the packet socket alone costs.
 *
 *   baselines recv-send|recvmmsg INTERFACE CPU SECONDS
 *   baselines ring INTERFACE CPU SECONDS FD FD FD SLOT_BYTES SLOTS SLOTS SLOTS
 *
 * Each says "ready", gives every frame other MAC addresses and sends it back, until SIGTERM or the
 * time is over, and prints one line of JSON. `ring` is the director's own I/O end in a bare loop:
 * the limit of what a director on it can reach. All use PACKET_VNET_HDR, without which a forwarder
 * breaks frames that offloads left unfinished. */
#include <linux/virtio_net.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io.h"
#include "program.h"

enum {
    BATCH = 64,
    VNET_HEADER = sizeof(struct virtio_net_hdr),
    LONGEST = VNET_HEADER + 1518,
    SHORTEST = VNET_HEADER + ETH_HLEN,
    WAIT_MS = 100,
    MOST_SECONDS = 60,
};

struct place {
    const char *interface;
    char **ring; /* descriptors and geometry, as text */
};

/* A signal handler reaches nothing else. */
static volatile sig_atomic_t is_over;

static void end(int signal)
{
    (void)signal;
    is_over = 1;
}

static void say_ready(void)
{
    puts("ready");
    fflush(stdout);
}

static void rewrite(uint8_t *frame)
{
    static const uint8_t macs[12] = {2, 0, 0, 0, 0, 11, 0, 0, 0x5e, 0, 1, 60};

    memcpy(frame, macs, sizeof(macs));
}

/* ---- System calls ---- */

static int open_socket(const char *interface)
{
    const struct timeval limit = {.tv_usec = WAIT_MS * 1000};
    int fd = socket(AF_PACKET, SOCK_RAW, 0);

    require(fd >= 0, "packet socket");
    set_option(fd, PACKET_VNET_HDR);
    set_option(fd, PACKET_IGNORE_OUTGOING);
    require(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0, "time limit");
    bind_to(fd, interface, ETH_P_ALL);
    return fd;
}

static uint64_t recv_send(const struct place *place)
{
    uint8_t frame[LONGEST];
    uint64_t forwarded = 0;
    int fd = open_socket(place->interface);

    say_ready();
    while (!is_over) {
        ssize_t length = recv(fd, frame, sizeof(frame), 0);
        if (length < SHORTEST)
            continue;
        rewrite(frame + VNET_HEADER);
        forwarded += send(fd, frame, (size_t)length, 0) == length;
    }
    close(fd);
    return forwarded;
}

static uint64_t recvmmsg_sendmmsg(const struct place *place)
{
    static uint8_t frames[BATCH][LONGEST];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec pieces[BATCH];
    uint64_t forwarded = 0;
    int fd = open_socket(place->interface);

    for (int i = 0; i < BATCH; i++) {
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    say_ready();
    while (!is_over) {
        for (int i = 0; i < BATCH; i++)
            pieces[i] = (struct iovec){frames[i], LONGEST};
        int received = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < received; i++) {
            pieces[i].iov_len = messages[i].msg_len;
            rewrite(frames[i] + VNET_HEADER);
        }
        int sent = received > 0 ? sendmmsg(fd, messages, (unsigned)received, 0) : 0;
        forwarded += sent > 0 ? (uint64_t)sent : 0;
    }
    close(fd);
    return forwarded;
}

/* ---- The director's rings ---- */

static struct io *open_ring(const struct place *place)
{
    uint32_t numbers[7];
    struct io *io;

    for (int i = 0; i < 7; i++) {
        require(place->ring[i], "three descriptors and four sizes");
        numbers[i] = (uint32_t)atoi(place->ring[i]);
    }
    const struct dr_ring ring = {
        .small_fd = (int)numbers[0],
        .large_fd = (int)numbers[1],
        .send_fd = (int)numbers[2],
        .interface_index = (int)if_nametoindex(place->interface),
        .small_slot_bytes = numbers[3],
        .small_slots = numbers[4],
        .large_slots = numbers[5],
        .send_slots = numbers[6],
    };
    int result = io_ring_open(&io, &ring);
    if (result < 0)
        fprintf(stderr, "rings: %s\n", strerror(-result));
    return result < 0 ? NULL : io;
}

static uint64_t bare_ring(const struct place *place)
{
    struct dr_frame frames[BATCH];
    uint64_t forwarded = 0;
    struct io *io = open_ring(place);

    say_ready();
    while (io && !is_over) {
        int received = io->ops->receive(io, frames, BATCH);
        for (int i = 0; i < received; i++) {
            rewrite(frames[i].data);
            io->ops->send(io, &frames[i]);
        }
        io->ops->flush(io);
        for (int i = 0; i < received; i++)
            forwarded += !frames[i].failed;
        io->ops->release(io);
        if (received == 0)
            io->ops->wait(io, WAIT_MS);
    }
    if (io)
        io->ops->close(io);
    return forwarded;
}

/* ---- The program ---- */

struct baseline {
    const char *name;
    uint64_t (*run)(const struct place *place);
};

static const struct baseline baselines[] = {
    {"recv-send", recv_send},
    {"recvmmsg", recvmmsg_sendmmsg},
    {"ring", bare_ring},
};

static const struct baseline *baseline_called(const char *name)
{
    for (size_t i = 0; i < sizeof(baselines) / sizeof(baselines[0]); i++)
        if (strcmp(baselines[i].name, name) == 0)
            return &baselines[i];
    return NULL;
}

static uint64_t ns_of(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_usec * 1000;
}

static void report(uint64_t forwarded, uint64_t cpu_ns, const struct rusage *before)
{
    struct rusage after;

    getrusage(RUSAGE_THREAD, &after);
    printf("{\"forwarded\": %lu, \"cpu_ns\": %lu, \"user_ns\": %lu, \"system_ns\": %lu}\n",
           forwarded, cpu_ns, ns_of(&after.ru_utime) - ns_of(&before->ru_utime),
           ns_of(&after.ru_stime) - ns_of(&before->ru_stime));
}

int main(int count, char **words)
{
    const struct sigaction at_end = {.sa_handler = end};
    struct rusage before;

    require(count >= 5, "baselines NAME INTERFACE CPU SECONDS ...");
    const struct baseline *baseline = baseline_called(words[1]);
    int seconds = atoi(words[4]);
    require(baseline && seconds > 0 && seconds <= MOST_SECONDS, "a baseline, at most 60 seconds");
    sigaction(SIGTERM, &at_end, NULL);
    sigaction(SIGALRM, &at_end, NULL);
    alarm((unsigned)seconds);
    pin_to(atoi(words[3]));

    getrusage(RUSAGE_THREAD, &before);
    uint64_t start = read_clock(CLOCK_THREAD_CPUTIME_ID);
    const struct place place = {words[2], words + 5};
    uint64_t forwarded = baseline->run(&place);
    report(forwarded, read_clock(CLOCK_THREAD_CPUTIME_ID) - start, &before);
    return 0;
}
