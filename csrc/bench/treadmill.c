/* treadmill.c -- an end without a socket: frames of the same flows come for ever, and sending takes
 * as long as it is told. What workers can do at most is seen on it. */
#include <stdlib.h>
#include <time.h>

#include "bench.h"
#include "frames.h"
#include "io.h"
#include "socket.h"

enum { SLOT = 64 };

struct treadmill {
    struct io io;
    uint8_t macs[12]; /* of every frame, as it comes */
    uint32_t flows;
    uint32_t next;
    bool is_open; /* every flow has had its first frame */
    uint32_t send_ns;
    uint32_t queued;
    uint8_t (*frames)[SLOT]; /* one of each flow */
};

static struct treadmill *treadmill_of(struct io *io)
{
    return (struct treadmill *)(void *)io;
}

/* What was sent has other addresses now. */
static uint8_t *again(struct treadmill *treadmill)
{
    uint8_t *frame = treadmill->frames[treadmill->next];

    memcpy(frame, treadmill->macs, sizeof(treadmill->macs));
    if (treadmill->is_open)
        frame[FRAME_TCP + 13] = FRAME_ACK;
    if (++treadmill->next == treadmill->flows) {
        treadmill->next = 0;
        treadmill->is_open = true;
    }
    return frame;
}

/* No batch has the same frame twice. */
static int treadmill_receive(struct io *io, struct dr_frame *frames, int room)
{
    struct treadmill *treadmill = treadmill_of(io);
    int count = 0;

    while (count < room && (uint32_t)count < treadmill->flows)
        frames[count++] =
            (struct dr_frame){.data = again(treadmill), .length = FRAME, .captured = FRAME};
    return count;
}

static void treadmill_send(struct io *io, struct dr_frame *frame)
{
    (void)frame;
    treadmill_of(io)->queued++;
}

static void treadmill_flush(struct io *io)
{
    struct treadmill *treadmill = treadmill_of(io);

    if (treadmill->send_ns > 0) {
        uint64_t took_ns = (uint64_t)treadmill->queued * treadmill->send_ns;
        uint64_t began_ns = read_clock(CLOCK_MONOTONIC);
        while (read_clock(CLOCK_MONOTONIC) - began_ns < took_ns)
            ;
    }
    treadmill->queued = 0;
}

static void treadmill_release(struct io *io)
{
    (void)io;
}

static void treadmill_wait(struct io *io, int timeout_ms)
{
    (void)io;
    (void)timeout_ms;
}

static uint64_t treadmill_dropped(struct io *io)
{
    (void)io;
    return 0;
}

static void treadmill_close(struct io *io)
{
    struct treadmill *treadmill = treadmill_of(io);

    free(treadmill->frames);
    free(treadmill);
}

static const struct io_ops treadmill_ops = {
    .receive = treadmill_receive,
    .send = treadmill_send,
    .flush = treadmill_flush,
    .release = treadmill_release,
    .wait = treadmill_wait,
    .wake = treadmill_release,
    .dropped = treadmill_dropped,
    .close = treadmill_close,
};

struct io *dr_bench_treadmill(const uint8_t to[6], uint32_t first_flow, uint32_t flows,
                              uint32_t send_ns)
{
    struct treadmill *treadmill = calloc(1, sizeof(*treadmill));

    if (!treadmill)
        return NULL;
    treadmill->io.ops = &treadmill_ops;
    treadmill->flows = flows;
    treadmill->send_ns = send_ns;
    treadmill->frames = calloc(flows, SLOT);
    if (!treadmill->frames) {
        treadmill_close(&treadmill->io);
        return NULL;
    }
    for (uint32_t i = 0; i < flows; i++) {
        frame_init(treadmill->frames[i], to);
        frame_set_flow(treadmill->frames[i], first_flow + i, FRAME_SYN);
    }
    memcpy(treadmill->macs, treadmill->frames[0], sizeof(treadmill->macs));
    return &treadmill->io;
}
