/* xsk.h -- one AF_XDP socket with the memory its frames lie in
 * (Documentation/networking/af_xdp.rst).
 *
 * Each chunk of that memory is at any time in one place: waiting in the fill ring for a frame,
 * with a frame in the receive ring, lent to the caller, on its way out, or back from there in the
 * completion ring. All four rings have an entry for every chunk, so none is ever full. */
#ifndef XSK_H
#define XSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dr.h"

struct xsk;

/* 0 or -errno: -EINVAL for a queue that is not there, -EBUSY for one that has a socket already,
 * -ENOBUFS when RLIMIT_MEMLOCK does not allow the memory, -EOPNOTSUPP. */
int xsk_open(struct xsk **out, const struct dr_xsk *wanted);
void xsk_close(struct xsk *xsk);

/* Up to `room` frames, which are the caller's until xsk_release(). */
int xsk_receive(struct xsk *xsk, struct dr_frame *frames, int room);
bool xsk_holds(const struct xsk *xsk, const uint8_t *data);
/* Queues a frame that was received here, in its own chunk. */
void xsk_send(struct xsk *xsk, struct dr_frame *frame);
/* Marks frames `failed` that did not go out. */
void xsk_flush(struct xsk *xsk);
/* Frames that the kernel has not taken yet: it wants to be asked again. */
bool xsk_is_behind(const struct xsk *xsk);
void xsk_release(struct xsk *xsk);
uint64_t xsk_dropped(struct xsk *xsk);

#endif
