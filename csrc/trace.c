/* trace.c -- has records made, and gives them to those who want them. */
#include "trace.h"

#include <stdlib.h>

#include "journal.h"
#include "record.h"

struct trace {
    struct watchers watchers;
    uint32_t slept;          /* what director->trace_quiet began with */
    uint32_t wanted;         /* a bit for each watcher who may want the present record */
    struct dr_record *asked; /* where the present one is to go too */
    struct dr_record record;
    struct journal drops[DR_VERDICTS];
};

/* ---- Life ---- */

struct trace *trace_new(void)
{
    struct trace *trace = calloc(1, sizeof(*trace));

    for (int i = 0; trace && i < DR_VERDICTS; i++)
        if (journal_open(&trace->drops[i], DR_DROPS_KEPT) < 0) {
            trace_free(trace);
            return NULL;
        }
    return trace;
}

void trace_free(struct trace *trace)
{
    if (!trace)
        return;
    watchers_free(&trace->watchers);
    for (int i = 0; i < DR_VERDICTS; i++)
        journal_close(&trace->drops[i]);
    free(trace);
}

/* Whoever watches has let frames pass since the last look. */
static void wake(struct director *director)
{
    struct trace *trace = director->trace;

    watchers_passed(&trace->watchers, trace->slept - director->trace_quiet);
    trace->slept = director->trace_quiet = 0;
}

int trace_open(struct director *director, struct dr_trace **out,
               const struct dr_trace_filter *filter, uint32_t room)
{
    wake(director);
    int result = watchers_open(&director->trace->watchers, out, filter, room);
    director->tracing += result == 0;
    return result;
}

void trace_close(struct director *director, struct dr_trace *watcher)
{
    wake(director);
    director->tracing -= watchers_close(&director->trace->watchers, watcher);
}

size_t trace_read_drops(const struct trace *trace, enum dr_verdict verdict,
                        struct dr_record *records, size_t room)
{
    uint64_t cursor = 0, ignored = 0;

    return journal_read(&trace->drops[verdict], &cursor, records, room, &ignored);
}

void trace_next_into(struct director *director, struct dr_record *record)
{
    wake(director);
    director->trace->asked = record;
    director->tracing++;
}

static const struct connection *connection_of(const struct director *director, struct sight sight)
{
    if (sight.parsed < DR_PARSED_PORTS)
        return NULL;
    return connections_find_hashed(&director->connections, &sight.packet->flow, sight.packet->hash);
}

/* A server that was removed may have outlived its service. */
static void tell_before(const struct director *director, struct dr_record *record,
                        struct sight sight)
{
    const struct connection *connection = connection_of(director, sight);

    if (!connection)
        return;
    record->by = DR_BY_CONNECTION;
    record->connection_before = 1;
    record->state_before = connection->state;
    const struct server *server = &director->table.servers[connection->server];
    record_server(record, server);
    if (server->use == SLOT_LISTED)
        record_service(record, &director->table.services[server->service]);
}

/* ---- Around a decision ---- */

bool trace_begin(struct director *director, const struct dr_frame *frame, struct sight sight,
                 uint64_t now_ns)
{
    struct trace *trace = director->trace;

    if (trace->slept)
        wake(director);
    trace->wanted = watchers_wanting(&trace->watchers, sight, now_ns);
    director->trace_quiet = trace->slept = watchers_quiet(&trace->watchers);
    if (!trace->wanted && !trace->asked)
        return false;
    director->is_recording = true;
    record_begin(&trace->record, director->frame, frame, sight, now_ns);
    tell_before(director, &trace->record, sight);
    return true;
}

static void hand_out(struct director *director)
{
    struct trace *trace = director->trace;

    watchers_take(&trace->watchers, trace->wanted, &trace->record);
    if (!trace->asked)
        return;
    *trace->asked = trace->record;
    trace->asked = NULL;
    director->tracing--;
}

void trace_end(struct director *director, const struct dr_frame *frame, struct sight sight,
               enum dr_verdict verdict)
{
    struct dr_record *record = &director->trace->record;
    const struct connection *connection = connection_of(director, sight);

    if (connection) {
        record->connection_after = 1;
        record->state_after = connection->state;
    }
    record_end(record, frame, sight, verdict);
    director->is_recording = false;
    hand_out(director);
}

void trace_drop(struct director *director, const struct dr_frame *frame, struct sight sight,
                enum dr_verdict verdict, uint64_t now_ns)
{
    struct dr_record *record = &director->trace->record;

    record_begin(record, director->frame, frame, sight, now_ns);
    record->verdict = (uint8_t)verdict;
    record->by = DR_BY_NOTHING;
    journal_write(&director->trace->drops[verdict], record);
}

void trace_drop_recorded(struct director *director)
{
    const struct dr_record *record = &director->trace->record;

    journal_write(&director->trace->drops[record->verdict], record);
}

/* ---- Within one ---- */

void trace_service(struct director *director, const struct service *service)
{
    if (director->is_recording)
        record_service(&director->trace->record, service);
}

void trace_template(struct director *director)
{
    if (director->is_recording && director->trace->record.by != DR_BY_ICMP)
        director->trace->record.by = DR_BY_TEMPLATE;
}

void trace_picking(struct director *director, const struct service *service)
{
    if (director->is_recording)
        record_picking(&director->trace->record, &director->table, service);
}

void trace_picked(struct director *director, const struct service *service,
                  const struct server *server)
{
    if (director->is_recording)
        record_picked(&director->trace->record, &director->table, service, server);
}

void trace_decided(struct director *director, const struct server *server)
{
    struct dr_record *record = &director->trace->record;

    record_server(record, server);
    record_service(record, &director->table.services[server->service]);
}
