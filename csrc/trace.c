/* trace.c -- makes records, and gives them to those who want them. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

#include "journal.h"

enum {
    MAC_ADDRESSES = 2 * MAC,
    TTL4 = 8, /* where they are in the IP header */
    TTL6 = 7,
};

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

/* ---- What a record says ---- */

static uint8_t ttl_of(const uint8_t *frame, struct sight sight)
{
    if (sight.parsed < DR_PARSED_ADDRESSES)
        return 0;
    return frame[sight.packet->network + (sight.packet->version == 4 ? TTL4 : TTL6)];
}

static void tell_flow(struct dr_record *record, struct sight sight)
{
    record->parsed = (uint8_t)sight.parsed;
    if (sight.parsed < DR_PARSED_ADDRESSES)
        return;
    const struct packet *packet = sight.packet;
    memcpy(record->client, packet->flow.client, ADDRESS);
    memcpy(record->address, packet->flow.address, ADDRESS);
    record->protocol = packet->flow.protocol;
    if (packet->is_later_fragment)
        record->by = DR_BY_FRAGMENT;
    else if (packet->flow.protocol == PROTOCOL_ICMP || packet->flow.protocol == PROTOCOL_ICMPV6)
        record->by = DR_BY_ICMP;
    if (sight.parsed < DR_PARSED_PORTS)
        return;
    record->client_port = packet->flow.client_port;
    record->port = packet->flow.port;
    record->tcp_flags = packet->flow.protocol == PROTOCOL_TCP ? packet->tcp_flags : 0;
}

static void tell_server(struct dr_record *record, const struct server *server)
{
    record->has_server = 1;
    memcpy(record->server, server->config.address, ADDRESS);
    record->server_port = server->config.port;
    record->server_mtu = server->mtu;
}

/* Candidates are told of by trace_picking(), so that part is not cleared. */
static void begin_record(const struct director *director, struct dr_record *record,
                         const struct dr_frame *frame, struct sight sight, uint64_t now_ns)
{
    memset(record, 0, offsetof(struct dr_record, bytes));
    record->time_ns = now_ns;
    record->frame = director->frame;
    record->length = frame->length;
    record->captured = frame->captured < DR_RECORD_BYTES ? frame->captured : DR_RECORD_BYTES;
    memcpy(record->bytes, frame->data, record->captured);
    record->chosen = record->cursor_before = record->cursor_after = -1;
    if (frame->captured >= MAC_ADDRESSES)
        memcpy(record->before, frame->data, MAC_ADDRESSES);
    tell_flow(record, sight);
    record->ttl_before = record->ttl_after = ttl_of(frame->data, sight);
    record->vlan = frame->captured >= ETHERNET_HEADER && sight.packet ? sight.packet->vlan : 0;
}

static const struct connection *connection_of(const struct director *director, struct sight sight)
{
    if (sight.parsed < DR_PARSED_PORTS)
        return NULL;
    return connections_find_hashed(&director->connections, &sight.packet->flow, sight.packet->hash);
}

static void tell_service(struct dr_record *record, const struct service *service)
{
    record->has_service = 1;
    memcpy(record->service_address, service->config.address, ADDRESS);
    record->service_port = service->config.port;
    record->service_protocol = service->config.protocol;
    record->scheduler = service->config.scheduler;
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
    tell_server(record, server);
    if (server->use == SLOT_LISTED)
        tell_service(record, &director->table.services[server->service]);
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
    begin_record(director, &trace->record, frame, sight, now_ns);
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

    record->verdict = (uint8_t)verdict;
    if (connection) {
        record->connection_after = 1;
        record->state_after = connection->state;
    }
    if (!record->has_server && record->candidate_count == 0)
        record->by = DR_BY_NOTHING;
    record->sent = frame->send;
    if (frame->send) {
        memcpy(record->after, frame->data, MAC_ADDRESSES);
        record->ttl_after = ttl_of(frame->data, sight);
    }
    director->is_recording = false;
    hand_out(director);
}

void trace_drop(struct director *director, const struct dr_frame *frame, struct sight sight,
                enum dr_verdict verdict, uint64_t now_ns)
{
    struct dr_record *record = &director->trace->record;

    begin_record(director, record, frame, sight, now_ns);
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
        tell_service(&director->trace->record, service);
}

void trace_template(struct director *director)
{
    if (director->is_recording && director->trace->record.by != DR_BY_ICMP)
        director->trace->record.by = DR_BY_TEMPLATE;
}

/* Where in the order of visits a slot comes; -1 for the list's head, and when there is no room. */
static int32_t place_of(const struct director *director, const struct service *service,
                        uint32_t slot)
{
    int32_t place = 0;

    for (uint32_t at = service->head; at != NO_SLOT; at = director->table.servers[at].next) {
        if (at == slot)
            return place;
        if (++place == DR_CANDIDATES)
            break;
    }
    return -1;
}

void trace_picking(struct director *director, const struct service *service)
{
    if (!director->is_recording)
        return;
    struct dr_record *record = &director->trace->record;
    if (record->by != DR_BY_ICMP)
        record->by = DR_BY_SCHEDULER;
    record->has_server = 0;
    record->candidate_count = service->servers;
    record->cursor_before = place_of(director, service, service->cursor.at);
    record->cursor_weight = service->cursor.current_weight;
    uint32_t slot = service->head;
    for (int i = 0; i < DR_CANDIDATES && slot != NO_SLOT; i++) {
        const struct server *server = &director->table.servers[slot];
        struct dr_candidate *candidate = &record->candidates[i];
        *candidate = (struct dr_candidate){.weight = server->config.weight,
                                           .active = server->active,
                                           .inactive = server->inactive,
                                           .overloaded = server->overloaded};
        memcpy(candidate->address, server->config.address, ADDRESS);
        slot = server->next;
    }
}

void trace_picked(struct director *director, const struct service *service,
                  const struct server *server)
{
    if (!director->is_recording)
        return;
    struct dr_record *record = &director->trace->record;
    record->cursor_after = place_of(director, service, service->cursor.at);
    if (!server)
        return;
    record->chosen = place_of(director, service, (uint32_t)(server - director->table.servers));
    tell_server(record, server);
}

void trace_decided(struct director *director, const struct server *server)
{
    struct dr_record *record = &director->trace->record;

    tell_server(record, server);
    tell_service(record, &director->table.services[server->service]);
}
