/* io.h -- the one seam between the core and the world. */
#ifndef IO_H
#define IO_H

#include "dr.h"

struct io;

/* An end: AF_PACKET rings, these with AF_XDP sockets, or plain memory. None of these blocks but
 * wait. */
struct io_ops {
    /* Up to `room` frames; their bytes belong to the caller until release. */
    int (*receive)(struct io *io, struct dr_frame *frames, int room);
    /* Queues a frame, which stays where it is, and as it is, until flush. */
    void (*send)(struct io *io, struct dr_frame *frame);
    /* Sends what was queued, in order; marks frames `failed` that did not go out. */
    void (*flush)(struct io *io);
    /* Gives back the frames of the last receive. */
    void (*release)(struct io *io);
    /* Returns when a frame may be there, wake was called, or the time is over. */
    void (*wait)(struct io *io, int timeout_ms);
    void (*wake)(struct io *io);
    /* Frames the kernel had no room for, since the last call. */
    uint64_t (*dropped)(struct io *io);
    void (*close)(struct io *io);
};

/* Every end begins with this. */
struct io {
    const struct io_ops *ops;
};

struct io *io_memory_open(uint32_t slots);
int io_memory_push(struct io *io, const struct dr_frame *frame);
size_t io_memory_pop(struct io *io, uint8_t *bytes, size_t room);

int io_ring_open(struct io **out, const struct dr_ring *ring);
/* Waiting ends as well when this is readable; up to DR_XSKS of them. */
void io_ring_wait_for(struct io *io, int fd);

/* Puts one more AF_XDP socket beside the rings, and another end around them at the first. */
int io_xdp_add(struct io **io, const struct dr_xsk *xsk);

#endif
