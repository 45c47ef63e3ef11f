/* forward.h -- one frame, one verdict: the only place where the parts of the core meet. */
#ifndef FORWARD_H
#define FORWARD_H

#include "director.h"

/* Decides what becomes of the frame. Where frame->send is set, what is at frame->data now is to be
 * sent at once: the frame with other MAC addresses, or an answer. All others are as they came. */
enum dr_verdict forward(struct director *director, struct dr_frame *frame, uint64_t now_ns);

/* The same in steps, for a batch: all of it is looked at before any of it is decided on, so that
 * the memory a decision needs is on its way from RAM while others are made. */
struct look {
    enum dr_verdict admitted; /* DR_FORWARDED: nothing against the frame so far */
    enum packet_kind kind;
    bool has_flow; /* and its hash */
    struct packet packet;
};

void forward_look(const struct director *director, const struct dr_frame *frame, struct look *look);
void forward_fetch(const struct director *director, const struct look *looks, int count);
enum dr_verdict forward_decide(struct director *director, struct dr_frame *frame,
                               const struct look *look, uint64_t now_ns);

/* Keeps a frame that could not be sent for whoever asks what was dropped. */
void forward_failed(struct director *director, const struct dr_frame *frame,
                    const struct look *look, uint64_t now_ns);

/* After each frame: fragments that had waited for it and are to be sent if `send` says so, until
 * NULL. */
struct dr_frame *forward_held(struct director *director, uint64_t now_ns);

#endif
