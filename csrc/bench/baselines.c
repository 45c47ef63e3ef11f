/* baselines.c -- forwarders that decide nothing: what the packet socket alone costs. All use
 * PACKET_VNET_HDR, without which a forwarder breaks frames that offloads left unfinished. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "bench.h"
#include "io.h"
#include "socket.h"

enum {
    BATCH = 64,
    LONGEST = VNET_HEADER + 1518,
    SHORTEST = VNET_HEADER + ETH_HLEN,
    WAIT_MS = 100,
};

static bool is_over(const struct dr_bench_work *work)
{
    return __atomic_load_n(&work->stop, __ATOMIC_RELAXED);
}

static void say_ready(struct dr_bench_work *work)
{
    __atomic_store_n(&work->ready, 1, __ATOMIC_RELEASE);
}

static void rewrite(uint8_t *frame)
{
    static const uint8_t macs[12] = {2, 0, 0, 0, 0, 11, 0, 0, 0x5e, 0, 1, 60};

    memcpy(frame, macs, sizeof(macs));
}

/* ---- System calls ---- */

/* A descriptor, or -errno. */
static int open_socket(const struct dr_bench_place *place)
{
    const struct timeval limit = {.tv_usec = WAIT_MS * 1000};
    int fd = socket(AF_PACKET, SOCK_RAW, 0);

    if (fd < 0)
        return -errno;
    int result = set_option(fd, PACKET_VNET_HDR, 1);
    if (result == 0)
        result = set_option(fd, PACKET_IGNORE_OUTGOING, 1);
    if (result == 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
        result = -errno;
    if (result == 0)
        result = bind_to(fd, place->interface_index, ETH_P_ALL);
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

int dr_bench_recv_send(const struct dr_bench_place *place, struct dr_bench_work *work)
{
    uint8_t frame[LONGEST];
    int fd = open_socket(place);

    if (fd < 0)
        return fd;
    say_ready(work);
    while (!is_over(work)) {
        ssize_t length = recv(fd, frame, sizeof(frame), 0);
        if (length < SHORTEST)
            continue;
        rewrite(frame + VNET_HEADER);
        work->forwarded += send(fd, frame, (size_t)length, 0) == length;
    }
    close(fd);
    return 0;
}

static int forward_batch(int fd, struct mmsghdr *messages, struct iovec *pieces,
                         uint8_t frames[BATCH][LONGEST])
{
    for (int i = 0; i < BATCH; i++)
        pieces[i] = (struct iovec){frames[i], LONGEST};
    int received = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < received; i++) {
        pieces[i].iov_len = messages[i].msg_len;
        rewrite(frames[i] + VNET_HEADER);
    }
    return received > 0 ? sendmmsg(fd, messages, (unsigned)received, 0) : 0;
}

int dr_bench_recvmmsg(const struct dr_bench_place *place, struct dr_bench_work *work)
{
    uint8_t frames[BATCH][LONGEST];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec pieces[BATCH];
    int fd = open_socket(place);

    if (fd < 0)
        return fd;
    for (int i = 0; i < BATCH; i++) {
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    say_ready(work);
    while (!is_over(work)) {
        int sent = forward_batch(fd, messages, pieces, frames);
        work->forwarded += sent > 0 ? (uint64_t)sent : 0;
    }
    close(fd);
    return 0;
}

/* ---- The director's own rings ---- */

int dr_bench_ring(const struct dr_bench_place *place, struct dr_bench_work *work)
{
    const struct dr_ring ring = {
        .small_fd = place->small_fd,
        .large_fd = place->large_fd,
        .send_fd = place->send_fd,
        .interface_index = place->interface_index,
        .small_slot_bytes = place->slot_bytes,
        .small_slots = place->small_slots,
        .large_slots = place->large_slots,
        .send_slots = place->send_slots,
    };
    struct dr_frame frames[BATCH];
    struct io *io;
    int result = io_ring_open(&io, &ring);

    if (result < 0)
        return result;
    say_ready(work);
    while (!is_over(work)) {
        int received = io->ops->receive(io, frames, BATCH);
        for (int i = 0; i < received; i++) {
            rewrite(frames[i].data);
            io->ops->send(io, &frames[i]);
        }
        io->ops->flush(io);
        for (int i = 0; i < received; i++)
            work->forwarded += !frames[i].failed;
        io->ops->release(io);
        if (received == 0)
            io->ops->wait(io, WAIT_MS);
    }
    io->ops->close(io);
    return 0;
}
