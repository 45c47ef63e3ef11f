/* forward.h -- one frame, one verdict: the only place where the parts of the core meet. */
#ifndef FORWARD_H
#define FORWARD_H

#include "director.h"

/* Decides what becomes of the frame. DR_FORWARDED and DR_ANSWERED have been rewritten in place and
 * are to be sent; all others were left as they came. */
enum dr_verdict forward(struct director *director, struct dr_frame *frame, uint64_t now_ns);

static inline bool verdict_sends(enum dr_verdict verdict)
{
    return verdict == DR_FORWARDED || verdict == DR_ANSWERED;
}

#endif
