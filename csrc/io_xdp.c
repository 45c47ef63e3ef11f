/* io_xdp.c -- the end with AF_XDP: what a program steers into a worker's AF_XDP sockets goes out by
 * them again, from where it lies; all else, and what the core itself has to say, goes by the rings
 * underneath. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "finish.h"
#include "io.h"
#include "xsk.h"

enum {
    QUEUE = 256,        /* frames between two flushes, at most */
    VNET_HEADER = 10,   /* that whoever sends by the rings leaves room for, zeroed */
    BEHIND_WAIT_MS = 1, /* until a full interface is asked again */
};

struct xdp {
    struct io io;
    struct io *rings;
    struct xsk *xsks[DR_XSKS];
    uint32_t count;
    uint32_t first; /* asked first at the next receive, so that none starves */
    uint32_t queued;
    struct dr_frame *queue[QUEUE];
};

static struct xdp *xdp_of(struct io *io)
{
    return (struct xdp *)(void *)io;
}

/* The rings are asked first, and get half of the room at most: neither way stops the other. */
static int xdp_receive(struct io *io, struct dr_frame *frames, int room)
{
    struct xdp *xdp = xdp_of(io);
    int count = xdp->rings->ops->receive(xdp->rings, frames, room / 2);

    for (uint32_t i = 0; i < xdp->count && count < room; i++) {
        struct xsk *xsk = xdp->xsks[(xdp->first + i) % xdp->count];
        count += xsk_receive(xsk, frames + count, room - count);
    }
    xdp->first++;
    return count;
}

static struct xsk *holder_of(const struct xdp *xdp, const struct dr_frame *frame)
{
    for (uint32_t i = 0; i < xdp->count; i++)
        if (xsk_holds(xdp->xsks[i], frame->data))
            return xdp->xsks[i];
    return NULL;
}

static void send_one(struct xdp *xdp, struct dr_frame *frame)
{
    struct xsk *xsk = holder_of(xdp, frame);

    if (xsk)
        finish_checksum(frame->data, frame->length);
    if (xsk && !frame->local) {
        xsk_send(xsk, frame);
        return;
    }
    if (xsk) /* there is headroom before each frame */
        memset(frame->data - VNET_HEADER, 0, VNET_HEADER);
    xdp->rings->ops->send(xdp->rings, frame);
}

static void xdp_flush(struct io *io)
{
    struct xdp *xdp = xdp_of(io);

    for (uint32_t i = 0; i < xdp->queued; i++)
        send_one(xdp, xdp->queue[i]);
    xdp->queued = 0;
    xdp->rings->ops->flush(xdp->rings);
    for (uint32_t i = 0; i < xdp->count; i++)
        xsk_flush(xdp->xsks[i]);
}

/* Checksums are finished when it is flushed, which is outside the gate. */
static void xdp_send(struct io *io, struct dr_frame *frame)
{
    struct xdp *xdp = xdp_of(io);

    if (xdp->queued == QUEUE)
        xdp_flush(io);
    xdp->queue[xdp->queued++] = frame;
}

static void xdp_release(struct io *io)
{
    struct xdp *xdp = xdp_of(io);

    xdp->rings->ops->release(xdp->rings);
    for (uint32_t i = 0; i < xdp->count; i++)
        xsk_release(xdp->xsks[i]);
}

static void xdp_wait(struct io *io, int timeout_ms)
{
    struct xdp *xdp = xdp_of(io);

    for (uint32_t i = 0; i < xdp->count; i++)
        if (xsk_is_behind(xdp->xsks[i]))
            timeout_ms = BEHIND_WAIT_MS;
    xdp->rings->ops->wait(xdp->rings, timeout_ms);
}

static void xdp_wake(struct io *io)
{
    struct xdp *xdp = xdp_of(io);

    xdp->rings->ops->wake(xdp->rings);
}

static uint64_t xdp_dropped(struct io *io)
{
    struct xdp *xdp = xdp_of(io);
    uint64_t dropped = xdp->rings->ops->dropped(xdp->rings);

    for (uint32_t i = 0; i < xdp->count; i++)
        dropped += xsk_dropped(xdp->xsks[i]);
    return dropped;
}

static void xdp_close(struct io *io)
{
    struct xdp *xdp = xdp_of(io);

    for (uint32_t i = 0; i < xdp->count; i++)
        xsk_close(xdp->xsks[i]);
    xdp->rings->ops->close(xdp->rings);
    free(xdp);
}

static const struct io_ops xdp_ops = {
    .receive = xdp_receive,
    .send = xdp_send,
    .flush = xdp_flush,
    .release = xdp_release,
    .wait = xdp_wait,
    .wake = xdp_wake,
    .dropped = xdp_dropped,
    .close = xdp_close,
};

/* Puts an end without sockets yet around the rings. */
static int wrap(struct io **io)
{
    struct xdp *xdp = calloc(1, sizeof(*xdp));

    if (!xdp)
        return -ENOMEM;
    xdp->io.ops = &xdp_ops;
    xdp->rings = *io;
    *io = &xdp->io;
    return 0;
}

int io_xdp_add(struct io **io, const struct dr_xsk *wanted)
{
    int result = (*io)->ops == &xdp_ops ? 0 : wrap(io);

    if (result < 0)
        return result;
    struct xdp *xdp = xdp_of(*io);
    if (xdp->count == DR_XSKS)
        return -ENOSPC;
    result = xsk_open(&xdp->xsks[xdp->count], wanted);
    if (result < 0)
        return result;
    /* By poll() and not by epoll, which would be told of each frame that has left, too. */
    io_ring_wait_for(xdp->rings, wanted->fd);
    xdp->count++;
    return 0;
}
