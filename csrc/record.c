/* record.c -- what a record says of a frame, of its service, and of the servers in question. */
#include "record.h"

enum {
    MAC_ADDRESSES = 2 * MAC,
    TTL4 = 8, /* where they are in the IP header */
    TTL6 = 7,
};

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

void record_server(struct dr_record *record, const struct server *server)
{
    record->has_server = 1;
    memcpy(record->server, server->config.address, ADDRESS);
    record->server_port = server->config.port;
    record->server_mtu = server->mtu;
}

/* Candidates are told of by record_picking(), so that part is not cleared. */
void record_begin(struct dr_record *record, uint64_t number, const struct dr_frame *frame,
                  struct sight sight, uint64_t now_ns)
{
    memset(record, 0, offsetof(struct dr_record, bytes));
    record->time_ns = now_ns;
    record->frame = number;
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

void record_service(struct dr_record *record, const struct service *service)
{
    record->has_service = 1;
    memcpy(record->service_address, service->config.address, ADDRESS);
    record->service_port = service->config.port;
    record->service_protocol = service->config.protocol;
    record->scheduler = service->config.scheduler;
}

void record_end(struct dr_record *record, const struct dr_frame *frame, struct sight sight,
                enum dr_verdict verdict)
{
    record->verdict = (uint8_t)verdict;
    if (!record->has_server && record->candidate_count == 0)
        record->by = DR_BY_NOTHING;
    record->sent = frame->send;
    if (frame->send) {
        memcpy(record->after, frame->data, MAC_ADDRESSES);
        record->ttl_after = ttl_of(frame->data, sight);
    }
}

/* ---- Scheduling ---- */

/* Where in the order of visits a slot comes; -1 for the list's head, and when there is no room. */
static int32_t place_of(const struct table *table, const struct service *service, uint32_t slot)
{
    int32_t place = 0;

    for (uint32_t at = service->head; at != NO_SLOT; at = table->servers[at].next) {
        if (at == slot)
            return place;
        if (++place == DR_CANDIDATES)
            break;
    }
    return -1;
}

void record_picking(struct dr_record *record, const struct table *table,
                    const struct service *service)
{
    if (record->by != DR_BY_ICMP)
        record->by = DR_BY_SCHEDULER;
    record->has_server = 0;
    record->candidate_count = service->servers;
    record->cursor_before = place_of(table, service, service->cursor.at);
    record->cursor_weight = service->cursor.current_weight;
    uint32_t slot = service->head;
    for (int i = 0; i < DR_CANDIDATES && slot != NO_SLOT; i++) {
        const struct server *server = &table->servers[slot];
        struct dr_candidate *candidate = &record->candidates[i];
        *candidate = (struct dr_candidate){.weight = server->config.weight,
                                           .active = server->active,
                                           .inactive = server->inactive,
                                           .overloaded = server->overloaded};
        memcpy(candidate->address, server->config.address, ADDRESS);
        slot = server->next;
    }
}

void record_picked(struct dr_record *record, const struct table *table,
                   const struct service *service, const struct server *server)
{
    record->cursor_after = place_of(table, service, service->cursor.at);
    if (!server)
        return;
    record->chosen = place_of(table, service, (uint32_t)(server - table->servers));
    record_server(record, server);
}
