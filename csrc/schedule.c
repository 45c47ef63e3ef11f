/* schedule.c -- from a packet to a real server. */
#include "schedule.h"

#include <string.h>

#include "schedulers/schedulers.h"
#include "states.h"
#include "trace.h"

enum {
    FTP = 21,      /* control port: a template covers the data connections too */
    FTP_DATA = 20, /* active FTP: a connection of the server's, never scheduled */
};

/* `sloppy`: in mid-stream too. */
static bool may_begin_tcp(const struct packet *packet, bool sloppy)
{
    if (packet->tcp_flags & TCP_RST)
        return false;
    return packet->tcp_flags & TCP_SYN || sloppy;
}

static bool may_begin_sctp(const struct packet *packet, bool sloppy)
{
    return sloppy ? packet->sctp_chunk != SCTP_CHUNK_ABORT : packet->sctp_chunk == SCTP_CHUNK_INIT;
}

static bool may_begin(const struct director *director, const struct packet *packet)
{
    switch (packet->flow.protocol) {
    case PROTOCOL_TCP:
        return may_begin_tcp(packet, director->tuning.sloppy_tcp);
    case PROTOCOL_SCTP:
        return may_begin_sctp(packet, director->tuning.sloppy_sctp);
    default:
        return true;
    }
}

static bool may_go_on_elsewhere(const struct packet *packet)
{
    switch (packet->flow.protocol) {
    case PROTOCOL_TCP:
        return may_begin_tcp(packet, true);
    case PROTOCOL_SCTP:
        return may_begin_sctp(packet, true);
    default:
        return true;
    }
}

static struct server *pick(struct director *director, struct service *service,
                           const struct flow *flow, uint32_t tick)
{
    const struct scheduler *scheduler = scheduler_of(service->config.scheduler);

    trace_picking(director, service);
    struct server *server = scheduler->pick(&director->table, service, flow, seconds_of(tick));
    trace_picked(director, service, server);
    return server;
}

/* The kernel's key of a persistence template: the client's network, client port 0, and the
 * service's port; 0 for FTP and for a service on all ports. A mark stands for its addresses. */
static struct flow template_key(const struct service *service, const struct flow *flow)
{
    uint16_t port = service->config.port;
    bool is_mark = service->config.protocol == PROTOCOL_ANY;
    struct flow key = {
        .port = port == FTP ? 0 : port,
        .protocol = is_mark ? PROTOCOL_ANY : flow->protocol,
    };

    for (int i = 0; i < ADDRESS; i++)
        key.client[i] = flow->client[i] & service->config.mask[i];
    memcpy(key.address, is_mark ? service->config.address : flow->address, ADDRESS);
    return key;
}

static bool is_usable(const struct director *director, const struct connection *template)
{
    const struct server *server = &director->table.servers[template->server];

    if (server->use != SLOT_LISTED || server->config.drain != DR_DRAIN_NONE)
        return false;
    return server->config.weight > 0 || !director->tuning.expire_quiescent_template;
}

/* A template's server is kept whatever its thresholds (and by default its weight) say; one that was
 * removed or is drained is replaced, and its template made unfindable. */
static enum dr_verdict find_template(struct director *director, struct service *service,
                                     const struct flow *flow, uint32_t tick,
                                     struct connection **template)
{
    struct connections *connections = &director->connections;
    struct flow key = template_key(service, flow);

    *template = connections_find_template(connections, &key);
    if (*template && is_usable(director, *template)) {
        trace_template(director);
        return DR_FORWARDED;
    }
    if (*template)
        connections_invalidate(connections, *template);
    struct server *server = pick(director, service, flow, tick);
    if (!server)
        return DR_NO_SERVER;
    *template = connections_add_template(connections, &director->table, &key, server,
                                         service->config.persistent_s, tick);
    return *template ? DR_FORWARDED : DR_TABLE_FULL;
}

static bool is_one_packet(const struct service *service, const struct flow *flow)
{
    return service->config.flags & DR_ONE_PACKET && flow->protocol == PROTOCOL_UDP;
}

static enum dr_verdict schedule(struct director *director, struct service *service,
                                const struct flow *flow, uint32_t tick, struct way *way)
{
    struct connections *connections = &director->connections;
    struct connection *template = NULL;

    if (service->config.flags & DR_PERSISTENT) {
        enum dr_verdict verdict = find_template(director, service, flow, tick, &template);
        if (verdict != DR_FORWARDED)
            return verdict;
        way->server = &director->table.servers[template->server];
    } else {
        way->server = pick(director, service, flow, tick);
        if (!way->server)
            return DR_NO_SERVER;
    }
    if (!is_one_packet(service, flow)) {
        uint32_t control = template ? connections_index(connections, template) : NO_CONNECTION;
        way->connection =
            connections_add(connections, &director->table, flow, way->server, control, tick);
        if (!way->connection)
            return DR_TABLE_FULL;
    } else if (template && template->packets > 0)
        connections_prove(connections, template);
    if (template)
        connections_restart(connections, template, tick);
    way->template = template;
    service->in.connections++;
    way->server->in.connections++;
    director->table.totals->in.connections++;
    return DR_FORWARDED;
}

/* An FTP service is found for other ports too, and takes those only under persistence. */
static bool takes_port(const struct service *service, uint16_t port)
{
    const struct dr_service *config = &service->config;

    return config->flags & DR_PERSISTENT || config->protocol == PROTOCOL_ANY ||
           config->port == port;
}

/* Nobody but a forger, or a host that has a VIP wrongly, sends from our addresses. */
static bool is_ours(const struct director *director, const uint8_t address[ADDRESS])
{
    const struct dr_identity *identity = &director->identity;

    for (uint32_t i = 0; i < identity->host_count; i++)
        if (is_same_address(identity->hosts[i], address))
            return true;
    return table_has_vip(&director->table, address);
}

/* A flow without a connection: find its service, pick a server, remember it. */
static enum dr_verdict begin(struct director *director, const struct flow *flow, bool is_opening,
                             uint32_t tick, struct way *way)
{
    struct service *service = table_find(&director->table, flow);

    if (is_ours(director, flow->client))
        return DR_MARTIAN;
    if (!service)
        return table_has_vip(&director->table, flow->address) ? DR_NO_SERVICE : DR_NOT_A_VIP;
    trace_service(director, service);
    if (!is_opening)
        return DR_NO_CONNECTION;
    if (defense_sheds(&director->defense))
        return DR_SHED;
    if (flow->client_port == FTP_DATA)
        return DR_NO_CONNECTION;
    if (!takes_port(service, flow->port))
        return DR_NO_SERVICE;
    return schedule(director, service, flow, tick, way);
}

static bool is_over(const struct director *director, const struct connection *connection)
{
    if (connection->protocol == PROTOCOL_SCTP)
        return connection->state == DR_SCTP_CLOSED;
    return connection->state == DR_TCP_TIME_WAIT || connection->state == DR_TCP_CLOSE ||
           (director->tuning.conn_reuse_mode & 2 && connection->state == DR_TCP_FIN_WAIT);
}

static bool asks_anew(const struct packet *packet)
{
    if (packet->is_cut_short)
        return false;
    if (packet->flow.protocol == PROTOCOL_SCTP)
        return packet->sctp_chunk == SCTP_CHUNK_INIT;
    return packet->flow.protocol == PROTOCOL_TCP && packet->tcp_flags & TCP_SYN;
}

/* A SYN on a connection that is over begins a new one, except under persistence, if its server is
 * not drained; so does any SYN once its server has weight 0, if that is asked for. */
static bool is_reused(const struct director *director, const struct connection *connection,
                      const struct packet *packet)
{
    const struct dr_tuning *tuning = &director->tuning;
    const struct server *server = &director->table.servers[connection->server];

    if (!asks_anew(packet))
        return false;
    if (tuning->expire_nodest_conn && server->config.weight == 0)
        return true;
    if (server->config.drain != DR_DRAIN_NONE)
        return server_ends_connections(server) || is_over(director, connection);
    return tuning->conn_reuse_mode != 0 && connection->control == NO_CONNECTION &&
           is_over(director, connection);
}

static enum dr_verdict begin_with(struct director *director, const struct packet *packet,
                                  uint32_t tick, struct way *way)
{
    return begin(director, &packet->flow, may_begin(director, packet), tick, way);
}

/* To a server that no service here has: kernel IPVS sends on as long as it has any service of that
 * address family at all. */
static enum dr_verdict may_go(const struct director *director, const struct way *way)
{
    if (way->server->use != SLOT_FOREIGN)
        return DR_FORWARDED;
    bool is_served = table_has_family(&director->table, is_ipv4(way->connection->address));
    return is_served ? DR_FORWARDED : DR_NO_SERVICE;
}

/* A packet of a connection that its drained server is not to have any more. */
__attribute__((cold)) static enum dr_verdict end_drained(struct director *director,
                                                         const struct packet *packet,
                                                         struct connection *connection,
                                                         uint32_t tick, struct way *way)
{
    const struct server *server = &director->table.servers[connection->server];

    connections_drop(&director->connections, &director->table, connection, tick);
    if (server->config.drain == DR_DRAIN_REHASH)
        return begin(director, &packet->flow, may_go_on_elsewhere(packet), tick, way);
    return server->config.drain == DR_DRAIN_RESET ? DR_RESET : DR_DRAINED;
}

enum dr_verdict schedule_way(struct director *director, const struct packet *packet, uint32_t tick,
                             struct way *way)
{
    struct connections *connections = &director->connections;
    struct connection *old = connections_find_hashed(connections, &packet->flow, packet->hash);

    if (!old)
        return begin_with(director, packet, tick, way);
    if (is_reused(director, old, packet)) {
        connections_spare(connections, old);
        enum dr_verdict verdict = begin_with(director, packet, tick, way);
        /* Only now: while the server was picked, the old connection still counted on its own. */
        connections_end(connections, &director->table, old, tick);
        return verdict;
    }
    if (server_ends_connections(&director->table.servers[old->server]))
        return end_drained(director, packet, old, tick, way);
    way->connection = old;
    way->server = &director->table.servers[old->server];
    if (server_is_there(way->server))
        return may_go(director, way);
    if (!director->tuning.expire_nodest_conn)
        return DR_SERVER_REMOVED;
    connections_end(connections, &director->table, old, tick);
    *way = (struct way){0};
    return begin_with(director, packet, tick, way);
}

enum dr_verdict schedule_related(struct director *director, const struct flow *flow, uint32_t tick,
                                 struct way *way)
{
    struct connection *connection = connections_find(&director->connections, flow);

    if (!connection && !director->tuning.schedule_icmp)
        return DR_NO_CONNECTION;
    if (!connection)
        return begin(director, flow, true, tick, way);
    way->connection = connection;
    way->server = &director->table.servers[connection->server];
    if (server_ends_connections(way->server))
        return DR_DRAINED;
    return server_is_there(way->server) ? may_go(director, way) : DR_SERVER_REMOVED;
}
