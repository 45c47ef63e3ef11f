/* forward.c -- one frame, one verdict. */
#include "forward.h"

#include <string.h>

#include "announce.h"
#include "schedulers/schedulers.h"

enum {
    FTP = 21,      /* control port: a template covers the data connections too */
    FTP_DATA = 20, /* active FTP: a connection of the server's, never scheduled */
};

/* ---- Is the frame one for us at all? ---- */

/* Joined segments leave as they came: the interface, or the kernel for it, cuts them again. */
static bool fits(const struct dr_identity *identity, const struct dr_frame *frame)
{
    return frame->gso_size != 0 || frame->length <= identity->mtu + ETHERNET_HEADER;
}

/* DR_FORWARDED here means: nothing against it so far. */
static enum dr_verdict admit(const struct dr_identity *identity, const struct dr_frame *frame)
{
    if (frame->captured < frame->length)
        return DR_TRUNCATED;
    if (frame->length < ETHERNET_HEADER)
        return DR_MALFORMED;
    if (frame->tagged)
        return DR_WRONG_VLAN;
    if (memcmp(frame->data + MAC, identity->mac, MAC) == 0)
        return DR_OWN_FRAME;
    if (!fits(identity, frame))
        return DR_OVERSIZE;
    return DR_FORWARDED;
}

static bool is_to_us(const struct dr_identity *identity, const struct dr_frame *frame)
{
    return memcmp(frame->data, identity->mac, MAC) == 0;
}

static bool is_broadcast(const struct dr_frame *frame)
{
    static const uint8_t broadcast[MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    return memcmp(frame->data, broadcast, MAC) == 0;
}

/* ---- Scheduling ---- */

static bool may_begin(const struct packet *packet)
{
    if (packet->flow.protocol != PROTOCOL_TCP)
        return true;
    return (packet->tcp_flags & TCP_SYN) && !(packet->tcp_flags & TCP_RST);
}

static struct server *pick(struct director *director, struct service *service,
                           const struct flow *flow)
{
    const struct scheduler *scheduler = scheduler_of(service->config.scheduler);

    return scheduler->pick(&director->table, service, flow);
}

/* The kernel's key of a persistence template: the client's network, client port 0, and the
 * service's port; 0 for FTP and for a service on all ports. */
static struct flow template_key(const struct service *service, const struct flow *flow)
{
    uint16_t port = service->config.port;
    struct flow key = {.port = port == FTP ? 0 : port, .protocol = flow->protocol};

    for (int i = 0; i < ADDRESS; i++)
        key.client[i] = flow->client[i] & service->config.mask[i];
    memcpy(key.address, flow->address, ADDRESS);
    return key;
}

/* A template's server is kept whatever its weight and thresholds say; one that was removed is
 * replaced, and its template made unfindable. NULL: no server, or (with *full) no room. */
static struct connection *find_template(struct director *director, struct service *service,
                                        const struct flow *flow, uint32_t tick, bool *full)
{
    struct connections *connections = &director->connections;
    struct flow key = template_key(service, flow);
    struct connection *template = connections_find(connections, &key);

    if (template && director->table.servers[template->server].use == SLOT_LISTED)
        return template;
    struct server *server = pick(director, service, flow);
    if (!server)
        return NULL;
    if (template)
        connections_invalidate(connections, template);
    template = connections_add_template(connections, &director->table, &key, server,
                                        service->config.persistent_s, tick);
    *full = !template;
    return template;
}

static enum dr_verdict schedule(struct director *director, struct service *service,
                                const struct flow *flow, uint32_t tick,
                                struct connection **connection)
{
    struct connections *connections = &director->connections;
    struct connection *template = NULL;
    struct server *server;
    bool full = false;

    if (service->config.flags & DR_PERSISTENT) {
        template = find_template(director, service, flow, tick, &full);
        if (!template)
            return full ? DR_TABLE_FULL : DR_NO_SERVER;
        server = &director->table.servers[template->server];
    } else {
        server = pick(director, service, flow);
        if (!server)
            return DR_NO_SERVER;
    }
    uint32_t control = template ? connections_index(connections, template) : NO_CONNECTION;
    *connection = connections_add(connections, &director->table, flow, server, control, tick);
    if (!*connection)
        return DR_TABLE_FULL;
    if (template)
        connections_restart(connections, template, tick);
    service->in.connections++;
    server->in.connections++;
    return DR_FORWARDED;
}

/* A flow without a connection: find its service, pick a server, remember it. */
static enum dr_verdict begin(struct director *director, const struct packet *packet, uint32_t tick,
                             struct connection **connection)
{
    const struct flow *flow = &packet->flow;
    struct service *service = table_find(&director->table, flow);

    if (!service)
        return table_has_vip(&director->table, flow->address) ? DR_NO_SERVICE : DR_NOT_A_VIP;
    if (!may_begin(packet) || flow->client_port == FTP_DATA)
        return DR_NO_CONNECTION;
    return schedule(director, service, flow, tick, connection);
}

/* conn_reuse_mode 1, the kernel's default: a SYN on a connection that is over begins a new one,
 * except under persistence. */
static bool is_reused(const struct connection *connection, const struct packet *packet)
{
    return packet->flow.protocol == PROTOCOL_TCP && (packet->tcp_flags & TCP_SYN) &&
           connection->control == NO_CONNECTION &&
           (connection->state == DR_TCP_TIME_WAIT || connection->state == DR_TCP_CLOSE);
}

/* The connection of a packet, old or new. */
static enum dr_verdict connect(struct director *director, const struct packet *packet,
                               uint32_t tick, struct connection **connection)
{
    struct connections *connections = &director->connections;
    struct connection *old = connections_find(connections, &packet->flow);

    *connection = old;
    if (!old)
        return begin(director, packet, tick, connection);
    if (is_reused(old, packet)) {
        enum dr_verdict verdict = begin(director, packet, tick, connection);
        /* Only now: while the server was picked, the old connection still counted on its own. */
        connections_end(connections, &director->table, old, tick);
        return verdict;
    }
    if (director->table.servers[old->server].use != SLOT_LISTED)
        return DR_SERVER_REMOVED;
    return DR_FORWARDED;
}

/* ---- Forwarding ---- */

static void count(struct director *director, struct server *server, uint32_t bytes)
{
    struct service *service = &director->table.services[server->service];

    server->in.packets++;
    server->in.bytes += bytes;
    service->in.packets++;
    service->in.bytes += bytes;
}

static enum dr_verdict forward_transport(struct director *director, struct dr_frame *frame,
                                         const struct packet *packet, uint32_t tick)
{
    struct connection *connection;
    enum dr_verdict verdict = connect(director, packet, tick, &connection);

    if (verdict != DR_FORWARDED)
        return verdict;
    struct server *server = &director->table.servers[connection->server];
    count(director, server, packet->ip_length);
    connections_packet(&director->connections, &director->table, connection, packet, tick);
    if (!server_has_mac(server))
        return DR_NO_MAC;
    packet_rewrite(frame->data, server->mac, director->identity.mac);
    return DR_FORWARDED;
}

enum dr_verdict forward(struct director *director, struct dr_frame *frame, uint64_t now_ns)
{
    const struct dr_identity *identity = &director->identity;
    enum dr_verdict verdict = admit(identity, frame);

    if (verdict != DR_FORWARDED)
        return verdict;

    struct packet packet;
    enum packet_kind kind = packet_parse(frame->data, frame->length, &packet);
    if (kind == PACKET_ARP && (is_to_us(identity, frame) || is_broadcast(frame)))
        return announce_arp(&director->table, identity->mac, frame);
    if (!is_to_us(identity, frame))
        return DR_NOT_FOR_US;

    switch (kind) {
    case PACKET_TRANSPORT:
        return forward_transport(director, frame, &packet, tick_of(now_ns));
    case PACKET_ARP:
        return DR_ARP_OTHER;
    case PACKET_TAGGED:
        return DR_WRONG_VLAN;
    case PACKET_NOT_IP:
        return DR_NOT_IP;
    case PACKET_MALFORMED:
        return DR_MALFORMED;
    case PACKET_BAD_CHECKSUM:
        return DR_BAD_CHECKSUM;
    case PACKET_MARTIAN:
        return DR_MARTIAN;
    case PACKET_FRAGMENT:
        return DR_FRAGMENT;
    case PACKET_OTHER_PROTOCOL:
        return DR_OTHER_PROTOCOL;
    }
    return DR_MALFORMED;
}
