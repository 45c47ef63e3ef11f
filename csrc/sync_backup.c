/* sync_backup.c -- what is learnt from a message: facts of kernel IPVS's backup daemon. */
#include "sync_backup.h"

#include "foreign.h"
#include "slots.h"
#include "states.h"
#include "sync_message.h"

enum { TEMPLATE_TIMEOUT_S = 180 }; /* where a message does not say */

/* Kernel IPVS took any state of a template until 2026; now it refuses what no template can have,
 * and so do we. */
static bool is_possible(const struct sync_entry *entry)
{
    if (entry->flags & SYNC_ONE_PACKET || entry->flags & SYNC_NO_CLIENT_PORT)
        return false;
    if (entry->flags & SYNC_TEMPLATE)
        return entry->state <= TEMPLATE_ASSURED;
    return entry->state < state_count(entry->flow.protocol);
}

/* Here under a mark's name a server has port 0, elsewhere its service's. */
static struct server *find_server(const struct table *table, const struct sync_entry *entry)
{
    const struct service *service = table_find_marked(table, &entry->flow, entry->mark);
    uint16_t first = entry->mark ? 0 : entry->server_port;

    if (!service)
        return NULL;
    struct server *server = server_find(table, service, entry->server, first);
    if (!server)
        server = server_find(table, service, entry->server, first ^ entry->server_port);
    return server;
}

static struct connection *find(const struct connections *connections,
                               const struct sync_entry *entry)
{
    if (entry->flags & SYNC_TEMPLATE)
        return connections_find_template(connections, &entry->flow);
    return connections_find(connections, &entry->flow);
}

static bool has_server(const struct table *table, const struct connection *connection,
                       const struct sync_entry *entry)
{
    return connection->port == entry->server_port &&
           is_same_address(table->servers[connection->server].config.address, entry->server);
}

/* A new entry, whose server may be in no service of ours; NULL: there is no room. */
static struct connection *make(struct director *director, const struct sync_entry *entry,
                               uint32_t tick)
{
    struct table *table = &director->table;
    struct server *server = find_server(table, entry);
    struct connection *connection;

    if (!server && (entry->flags & SYNC_METHOD) == SYNC_DIRECT_ROUTING)
        server = foreign_server(table, entry->server, entry->server_port, seconds_of(tick));
    if (!server)
        return NULL;
    if (entry->flags & SYNC_TEMPLATE) {
        connection = connections_add_template(&director->connections, table, &entry->flow, server,
                                              TEMPLATE_TIMEOUT_S, tick);
    } else {
        connection = connections_add(&director->connections, table, &entry->flow, server,
                                     NO_CONNECTION, tick);
        if (connection)
            connections_change_side(table, connection, entry->flags & SYNC_INACTIVE);
    }
    if (connection)
        connection->flags |= CONNECTION_SYNCED;
    return connection;
}

static void renew(struct director *director, struct connection *connection,
                  const struct sync_entry *entry, uint32_t tick)
{
    struct table *table = &director->table;

    if (!(entry->flags & SYNC_TEMPLATE))
        connections_change_side(table, connection, entry->flags & SYNC_INACTIVE);
    if (table->servers[connection->server].use != SLOT_FOREIGN)
        return;
    struct server *server = find_server(table, entry);
    if (server && has_server(table, connection, entry))
        connections_move(table, connection, server, tick);
}

static void set(struct director *director, struct connection *connection,
                const struct sync_entry *entry, uint32_t tick)
{
    struct connections *connections = &director->connections;
    bool is_template = entry->flags & SYNC_TEMPLATE;
    uint32_t timeout_s = entry->timeout_s;

    if (timeout_s == 0)
        timeout_s = is_template ? TEMPLATE_TIMEOUT_S
                                : state_timeout_s(entry->flow.protocol, (uint8_t)entry->state,
                                                  &connections->book->timeouts);
    connection->state = entry->state & 0xf;
    if (is_template || !state_is_half_open(connection->protocol, connection->state))
        connections_prove(connections, connection);
    connections_rest(connections, connection, tick)->announced_state = connection->state;
    connections_set_packets(connections, connection, director->tuning.sync_threshold, tick);
    connections_set_timeout(connections, connection, timeout_s, tick);
}

/* A connection that changed its server is begun anew, unless this is only word of its end. */
static bool learn(struct director *director, const struct sync_entry *entry, uint32_t tick)
{
    struct connection *connection = find(&director->connections, entry);

    if (connection && !(entry->flags & SYNC_TEMPLATE) &&
        !has_server(&director->table, connection, entry)) {
        if (entry->flags & SYNC_INACTIVE)
            return false;
        connections_end(&director->connections, &director->table, connection, tick);
        connection = NULL;
    }
    if (connection)
        renew(director, connection, entry, tick);
    else
        connection = make(director, entry, tick);
    if (connection)
        set(director, connection, entry, tick);
    return connection != NULL;
}

enum sync_received sync_receive(struct director *director, const uint8_t *bytes, size_t length,
                                uint8_t syncid, uint32_t tick)
{
    struct sync_reader reader;
    struct sync_entry entry;
    enum sync_found found;

    if (!sync_open(&reader, bytes, length))
        return SYNC_MALFORMED;
    if (syncid != 0 && reader.syncid != syncid)
        return SYNC_OF_ANOTHER;
    while ((found = sync_next(&reader, &entry)) != SYNC_END) {
        if (found == SYNC_BAD)
            return SYNC_MALFORMED;
        if (found == SYNC_ENTRY && is_possible(&entry) && learn(director, &entry, tick))
            director->sync_stats.learnt++;
    }
    return SYNC_TAKEN;
}
