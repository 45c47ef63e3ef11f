/* replay.c -- a capture's frames through the same engine, on the capture's clock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "dr_trace.h"
#include "explain.h"
#include "flows.h"
#include "pcapng.h"

enum { COMMENT_ROOM = 512 };

/* No time-out lasts longer, and the engine's clock of 32 bits of ticks is compared by difference.
 */
static const uint64_t longest_leap_ns = UINT64_C(60) * 86400 * 1000000000;

static const char held[] =
    "A later fragment that had come before its first one, and follows it now.";

struct dr_replay {
    struct dr_engine *engine;
    struct capture capture;
    struct flows flows;
    uint32_t longest;
    uint64_t last_ns; /* of the capture's time */
    struct dr_record record;
    struct dr_replay_report report;
};

int dr_replay_new(struct dr_replay **out, struct dr_engine *engine, uint64_t began_ns,
                  uint32_t longest, uint32_t flows)
{
    struct dr_replay *replay = calloc(1, sizeof(*replay));

    if (!replay)
        return -ENOMEM;
    int result = flows_open(&replay->flows, flows);
    if (result < 0) {
        free(replay);
        return result;
    }
    replay->engine = engine;
    replay->longest = longest;
    replay->report.now_ns = began_ns;
    *out = replay;
    return 0;
}

void dr_replay_free(struct dr_replay *replay)
{
    if (!replay)
        return;
    flows_close(&replay->flows);
    free(replay);
}

void dr_replay_report(const struct dr_replay *replay, struct dr_replay_report *out)
{
    *out = replay->report;
    out->flows = replay->flows.known;
    out->forgotten = replay->flows.forgotten;
    out->offset = replay->capture.offset;
    out->pending = replay->capture.skip;
    out->fault = replay->capture.fault;
    out->fault_value = replay->capture.fault_value;
    memcpy(out->foreign, replay->capture.foreign, sizeof(out->foreign));
}

/* ---- The clock ---- */

static uint64_t time_of(const struct dr_replay *replay, const struct capture_frame *frame)
{
    uint64_t now_ns = replay->report.now_ns;

    if (replay->report.frames == 0 || frame->time_ns <= replay->last_ns)
        return now_ns;
    uint64_t passed_ns = frame->time_ns - replay->last_ns;
    return now_ns + (passed_ns < longest_leap_ns ? passed_ns : longest_leap_ns);
}

/* A frame from the past comes now, and the next one counts from where the clock stands. */
static void move_on(struct dr_replay *replay, const struct capture_frame *frame)
{
    struct dr_replay_report *report = &replay->report;

    if (report->frames == 0) {
        report->first_ns = replay->last_ns = frame->time_ns;
    } else if (frame->time_ns < replay->last_ns) {
        report->backwards++;
    } else {
        report->leaps += frame->time_ns - replay->last_ns > longest_leap_ns;
        report->now_ns = time_of(replay, frame);
        replay->last_ns = frame->time_ns;
    }
    report->frames++;
}

/* ---- One frame ---- */

static void note_flow(struct dr_replay *replay)
{
    const struct dr_record *record = &replay->record;
    struct dr_replay_report *report = &replay->report;
    uint8_t before[16];

    if (record->verdict != DR_FORWARDED || record->parsed != DR_PARSED_PORTS)
        return;
    if (!flows_note(&replay->flows, record, before) || report->changed++ >= DR_REPLAY_CHANGES)
        return;
    struct dr_flow_change *change = &report->changes[report->change_count++];
    *change = (struct dr_flow_change){
        .frame = record->frame,
        .time_ns = record->time_ns,
        .client_port = record->client_port,
        .port = record->port,
        .protocol = record->protocol,
        .by = record->by,
    };
    memcpy(change->client, record->client, sizeof(change->client));
    memcpy(change->address, record->address, sizeof(change->address));
    memcpy(change->from, before, sizeof(change->from));
    memcpy(change->to, record->server, sizeof(change->to));
}

static void write_out(struct dr_replay *replay, struct dr_replay_step *step,
                      const struct dr_frame *frame, uint64_t time_ns, const char *why,
                      size_t why_length)
{
    replay->report.sent++;
    if (step->out)
        step->written +=
            pcapng_frame(step->out + step->written, step->room - step->written, frame->data,
                         frame->captured, frame->length, time_ns, why, why_length);
}

static void write_decided(struct dr_replay *replay, struct dr_replay_step *step,
                          const struct dr_frame *frame, uint64_t time_ns)
{
    char why[COMMENT_ROOM];
    size_t length = step->out ? explain(&replay->record, why, sizeof(why)) : 0;

    write_out(replay, step, frame, time_ns, why, length);
}

static void decide(struct dr_replay *replay, struct dr_replay_step *step,
                   const struct capture_frame *captured)
{
    uint64_t now_ns = replay->report.now_ns;
    struct dr_frame frame = {
        .data = captured->data,
        .length = captured->length,
        .captured = captured->captured,
    };

    if (frame.length > replay->longest) {
        frame.gso_size = 1; /* how long its segments were is not in a capture */
        replay->report.joined++;
    }
    dr_forward_recorded(replay->engine, &frame, now_ns, &replay->record);
    note_flow(replay);
    if (frame.send)
        write_decided(replay, step, &frame, captured->time_ns);
    while (dr_forward_held(replay->engine, &frame, now_ns))
        if (frame.send)
            write_out(replay, step, &frame, captured->time_ns, held, sizeof(held) - 1);
}

/* ---- A piece of a capture ---- */

static bool is_full(const struct dr_replay_step *step, size_t frames)
{
    return frames == step->frames || (step->out && step->room - step->written < DR_REPLAY_ROOM);
}

/* What the capture's next bytes are, with all that is no frame taken. */
static enum capture_outcome next_frame(struct capture *capture, uint8_t *bytes, size_t size,
                                       size_t *used, struct capture_frame *frame)
{
    enum capture_outcome outcome;

    while ((outcome = capture_next(capture, bytes + *used, size - *used, frame)) == CAPTURE_OTHER)
        *used += frame->used;
    return outcome;
}

void dr_replay_step(struct dr_replay *replay, struct dr_replay_step *step)
{
    struct capture_frame frame;
    enum capture_outcome outcome = CAPTURE_FRAME;

    step->used = step->written = 0;
    for (size_t frames = 0; !is_full(step, frames); frames++) {
        outcome = next_frame(&replay->capture, step->bytes, step->size, &step->used, &frame);
        if (outcome != CAPTURE_FRAME)
            break;
        if (time_of(replay, &frame) >= step->until_ns) {
            step->stop = DR_REPLAY_UNTIL;
            return;
        }
        move_on(replay, &frame);
        decide(replay, step, &frame);
        capture_take(&replay->capture, &frame);
        step->used += frame.used;
    }
    step->stop = outcome == CAPTURE_FRAME  ? DR_REPLAY_FULL
                 : outcome == CAPTURE_MORE ? DR_REPLAY_MORE
                                           : DR_REPLAY_FAULT;
}
