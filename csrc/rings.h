/* rings.h -- three AF_PACKET sockets as rings of slots: opened and closed here, used by io_ring. */
#ifndef RINGS_H
#define RINGS_H

#include <poll.h>
#include <stdint.h>

#include "io.h"

enum {
    BLOCK_BYTES = 1024 * 1024, /* of slots that lie one behind the other */
    QUEUE = 256,               /* frames between two flushes, at most */
};

struct ring {
    int fd;
    uint8_t *memory;
    size_t bytes;
    uint32_t slots;
    uint32_t slot_bytes;
    uint32_t slots_a_block;
    uint32_t head; /* the next slot to look at */
    uint32_t held; /* slots before head that are not given back */
};

struct rings {
    struct io io;
    struct ring small;
    struct ring large;
    struct ring send;
    uint32_t room; /* bytes of a frame that a slot of `send` takes */
    uint32_t queued;
    struct dr_frame *queue[QUEUE];
    uint32_t filled; /* slots of `send` that the kernel has not been told of */
    struct dr_frame *in_slots[QUEUE];
    int local_fd;
    int wake_fd;
    nfds_t others; /* of another end, by which frames may come in as well */
    int other_fds[DR_XSKS];
};

/* 0 or -errno, and then all of it is to be closed. Once it has returned frames come in. */
int rings_open(struct rings *rings, const struct dr_ring *wanted);
/* The sockets are their maker's. */
void rings_close(struct rings *rings);

#endif
