/* generate.c -- as many frames as one core can send, for a while.
 *
 *   generate INTERFACE MAC FLOWS CPU SECONDS
 *
 * The first frame of a flow is a SYN, all others are ACKs. Prints one line of JSON; `returned` is
 * what came back through the interface in that time: on a network of two, what was forwarded. */
#include "frames.h"
#include "program.h"

enum {
    BATCH = 64,
    MOST_FLOWS = 1000000,
    MOST_FRAMES = 200000000,
    MOST_SECONDS = 60,
};

struct burst {
    struct mmsghdr messages[BATCH];
    struct iovec pieces[BATCH];
};

static uint64_t frames_received(const char *interface)
{
    FILE *file = fopen("/proc/thread-self/net/dev", "r");
    char line[512];
    char name[64];
    uint64_t packets = 0;

    require(file, "/proc/thread-self/net/dev");
    while (fgets(line, sizeof(line), file)) {
        uint64_t found;
        if (sscanf(line, " %63[^:]: %*u %lu", name, &found) == 2 && strcmp(name, interface) == 0)
            packets = found;
    }
    fclose(file);
    return packets;
}

static uint8_t *make_flows(const char *mac, uint32_t flows)
{
    uint8_t *frames = calloc(flows, FRAME);
    uint8_t to[6];

    require(frames, "memory");
    parse_mac(mac, to);
    for (uint32_t i = 0; i < flows; i++) {
        frame_init(frames + (size_t)i * FRAME, to);
        frame_set_flow(frames + (size_t)i * FRAME, i, FRAME_SYN);
    }
    return frames;
}

/* The next BATCH frames, from frame number `next` on. */
static void fill(struct burst *burst, uint8_t *frames, uint32_t flows, uint64_t next)
{
    for (uint32_t i = 0; i < BATCH; i++, next++) {
        uint8_t *frame = frames + (size_t)(next % flows) * FRAME;
        if (next >= flows)
            frame[FRAME_TCP + 13] = FRAME_ACK;
        burst->pieces[i] = (struct iovec){frame, FRAME};
        burst->messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &burst->pieces[i],
            .msg_iovlen = 1,
        };
    }
}

int main(int count, char **words)
{
    struct burst burst = {0};

    require(count == 6, "generate INTERFACE MAC FLOWS CPU SECONDS");
    const char *interface = words[1];
    uint32_t flows = (uint32_t)atoi(words[3]);
    double seconds = atof(words[5]);
    require(flows >= BATCH && flows <= MOST_FLOWS && seconds > 0 && seconds <= MOST_SECONDS,
            "64 to 1,000,000 flows, at most 60 seconds");
    uint8_t *frames = make_flows(words[2], flows);
    pin_to(atoi(words[4]));
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    require(fd >= 0, "packet socket");
    set_option(fd, PACKET_QDISC_BYPASS);
    bind_to(fd, interface, 0);

    uint64_t returned = frames_received(interface);
    uint64_t sent = 0;
    uint64_t start = read_clock(CLOCK_MONOTONIC);
    uint64_t end = start + (uint64_t)(seconds * 1e9);
    uint64_t now = start;
    for (; now < end && sent < MOST_FRAMES; now = read_clock(CLOCK_MONOTONIC)) {
        fill(&burst, frames, flows, sent);
        int taken = sendmmsg(fd, burst.messages, BATCH, 0);
        sent += taken > 0 ? (uint64_t)taken : 0;
    }
    returned = frames_received(interface) - returned;
    double took = (double)(now - start) / 1e9;
    printf("{\"sent\": %lu, \"returned\": %lu, \"seconds\": %.6f, \"rate\": %.0f}\n", sent,
           returned, took, (double)sent / took);
    free(frames);
    return 0;
}
