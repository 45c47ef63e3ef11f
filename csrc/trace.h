/* trace.h -- records of decisions, for whoever wants to see them, and the last frames dropped.
 *
 * Off, it costs a frame one branch. The forwarding thread alone writes; readers copy out of rings
 * and find out by a sequence number when they were too slow, so nobody waits for anybody. */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>

#include "director.h"
#include "dr_trace.h"
#include "watchers.h"

struct trace;

struct trace *trace_new(void);
void trace_free(struct trace *trace);

/* ---- Around a decision, by `forward` ---- */

/* False while nobody watches, or whoever does lets this frame pass: one in many is asked for. */
static inline bool trace_is_awake(struct director *director)
{
    if (!director->tracing)
        return false;
    if (director->trace_quiet == 0)
        return true;
    director->trace_quiet--;
    return false;
}

/* To be called when that is true. True when somebody wants a record of this frame: then
 * trace_end() is to be called. */
__attribute__((noinline)) bool trace_begin(struct director *director, const struct dr_frame *frame,
                                           struct sight sight, uint64_t now_ns);
void trace_end(struct director *director, const struct dr_frame *frame, struct sight sight,
               enum dr_verdict verdict);

/* Keeps a dropped frame; `frame` is as it came, unless it could not be sent. */
__attribute__((cold)) void trace_drop(struct director *director, const struct dr_frame *frame,
                                      struct sight sight, enum dr_verdict verdict, uint64_t now_ns);
/* The same after trace_end(), whose record says more. */
void trace_drop_recorded(struct director *director);

static inline bool trace_is_drop(enum dr_verdict verdict)
{
    const uint64_t kept = UINT64_C(1) << DR_FORWARDED | UINT64_C(1) << DR_ICMP_FORWARDED |
                          UINT64_C(1) << DR_ANSWERED | UINT64_C(1) << DR_ECHO_ANSWERED |
                          UINT64_C(1) << DR_FRAGMENT_HELD;

    return !(kept >> verdict & 1);
}

/* ---- Within one: each does nothing unless a record is being made ---- */

void trace_service(struct director *director, const struct service *service);
void trace_template(struct director *director);
void trace_picking(struct director *director, const struct service *service);
void trace_picked(struct director *director, const struct service *service,
                  const struct server *server);
void trace_decided(struct director *director, const struct server *server);

/* For every frame, so the question whether a record is being made is asked here. */
static inline void trace_server(struct director *director, const struct server *server)
{
    if (__builtin_expect(director->is_recording, false))
        trace_decided(director, server);
}

/* ---- For whoever wants to see ---- */

int trace_open(struct director *director, struct dr_trace **out,
               const struct dr_trace_filter *filter, uint32_t room);
void trace_close(struct director *director, struct dr_trace *watcher);
size_t trace_read_drops(const struct trace *trace, enum dr_verdict verdict,
                        struct dr_record *records, size_t room);

/* The record of the next frame goes here too, whatever the filters say. */
void trace_next_into(struct director *director, struct dr_record *record);

#endif
