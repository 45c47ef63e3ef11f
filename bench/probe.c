/* probe.c -- one frame at a time: how long until it comes back forwarded.
 *
 *   probe INTERFACE MAC CPU COUNT PAUSE_US
 *
 * Prints nanoseconds, one line a frame; a frame that does not come back within a tenth of a second
 * has no line. It looks for the frame without sleeping, so that its own waking is not measured. */
#include <errno.h>

#include "frames.h"
#include "program.h"

enum {
    PATIENCE_NS = 100000000,
    MOST_FRAMES = 100000,
    MOST_PAUSE_US = 1000000,
};

static bool is_back(const uint8_t *sent, const uint8_t *frame, ssize_t length)
{
    return length == FRAME && memcmp(sent + FRAME_IP, frame + FRAME_IP, FRAME - FRAME_IP) == 0;
}

/* Nanoseconds, or 0 when it is lost. */
static uint64_t time_of(int fd, const uint8_t frame[FRAME])
{
    uint8_t back[2048];
    uint64_t start = read_clock(CLOCK_MONOTONIC);

    require(send(fd, frame, FRAME, 0) == FRAME, "send");
    for (;;) {
        ssize_t length = recv(fd, back, sizeof(back), MSG_DONTWAIT);
        uint64_t took = read_clock(CLOCK_MONOTONIC) - start;
        if (is_back(frame, back, length))
            return took;
        require(length >= 0 || errno == EAGAIN, "recv");
        if (took > PATIENCE_NS)
            return 0;
    }
}

int main(int count, char **words)
{
    uint8_t frame[FRAME];
    uint8_t to[6];

    require(count == 6, "probe INTERFACE MAC CPU COUNT PAUSE_US");
    int frames = atoi(words[4]);
    long pause_us = atol(words[5]);
    require(frames > 0 && frames <= MOST_FRAMES && pause_us >= 0 && pause_us < MOST_PAUSE_US,
            "at most 100,000 frames, pauses below a second");
    const struct timespec pause = {.tv_nsec = pause_us * 1000};
    parse_mac(words[2], to);
    pin_to(atoi(words[3]));
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    require(fd >= 0, "packet socket");
    set_option(fd, PACKET_IGNORE_OUTGOING);
    bind_to(fd, words[1], ETH_P_ALL);

    frame_init(frame, to);
    for (int i = 0; i < frames; i++) {
        frame_set_flow(frame, 0, i == 0 ? FRAME_SYN : FRAME_ACK);
        uint64_t took = time_of(fd, frame);
        if (took > 0)
            printf("%lu\n", took);
        nanosleep(&pause, NULL);
    }
    return 0;
}
