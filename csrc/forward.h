/* forward.h -- one frame, one verdict: the only place where the parts of the core meet. */
#ifndef FORWARD_H
#define FORWARD_H

#include "director.h"

/* Decides what becomes of the frame. Where frame->send is set, what is at frame->data now is to be
 * sent at once: the frame with other MAC addresses, or an answer. All others are as they came. */
enum dr_verdict forward(struct director *director, struct dr_frame *frame, uint64_t now_ns);

/* After each frame: fragments that had waited for it and are to be sent if `send` says so, until
 * NULL. */
struct dr_frame *forward_held(struct director *director, uint64_t now_ns);

#endif
