/* tracing.c -- the border to traces: opening and closing one passes the gate, reading does not. */
#include "dr_trace.h"
#include "engine.h"
#include "explain.h"
#include "pcapng.h"
#include "trace.h"

int dr_trace_open(struct dr_trace **out, struct dr_engine *engine,
                  const struct dr_trace_filter *filter, uint32_t room)
{
    int result = trace_open(engine_enter(engine), out, filter, room);

    engine_leave(engine);
    return result;
}

void dr_trace_close(struct dr_engine *engine, struct dr_trace *trace)
{
    trace_close(engine_enter(engine), trace);
    engine_leave(engine);
}

size_t dr_trace_read(struct dr_trace *trace, uint64_t *cursor, struct dr_record *records,
                     size_t room, struct dr_trace_losses *losses)
{
    return watcher_read(trace, cursor, records, room, losses);
}

size_t dr_read_drops(struct dr_engine *engine, enum dr_verdict verdict, struct dr_record *records,
                     size_t room)
{
    size_t count = trace_read_drops(engine_enter(engine)->trace, verdict, records, room);

    engine_leave(engine);
    return count;
}

enum dr_verdict dr_forward_recorded(struct dr_engine *engine, struct dr_frame *frame,
                                    uint64_t now_ns, struct dr_record *record)
{
    trace_next_into(engine_enter(engine), record);
    engine_leave(engine);
    return dr_forward(engine, frame, now_ns);
}

size_t dr_explain(const struct dr_record *record, char *out, size_t room)
{
    return explain(record, out, room);
}

size_t dr_pcapng_begin(uint8_t *out, size_t room)
{
    return pcapng_begin(out, room);
}

size_t dr_pcapng_frame(uint8_t *out, size_t room, const uint8_t *bytes, uint32_t captured,
                       uint32_t length, uint64_t time_ns, const char *comment,
                       size_t comment_length)
{
    return pcapng_frame(out, room, bytes, captured, length, time_ns, comment, comment_length);
}
