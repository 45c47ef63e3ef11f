/* connections.c -- the hash, and how entries begin and end. */
#include "connections.h"

#include <string.h>

#include "entries.h"
#include "states.h"
#include "thresholds.h"

enum { INVALID_PORT = 0xffff };

/* ---- Hash ---- */

static uint32_t *bucket_of_flow(const struct connections *connections, const struct flow *flow)
{
    return connections_bucket(connections, connections_hash(connections, flow));
}

struct flow connection_flow(const struct connection *connection)
{
    struct flow flow = {
        .client_port = connection->client_port,
        .port = connection->port,
        .protocol = connection->protocol,
    };

    memcpy(flow.client, connection->client, ADDRESS);
    memcpy(flow.address, connection->address, ADDRESS);
    return flow;
}

static bool is_flow(const struct connection *connection, const struct flow *flow)
{
    return connection->client_port == flow->client_port && connection->port == flow->port &&
           connection->protocol == flow->protocol &&
           is_same_address(connection->client, flow->client) &&
           is_same_address(connection->address, flow->address);
}

static struct connection *find(const struct connections *connections, const struct flow *flow,
                               uint32_t hash, uint8_t template_flag)
{
    uint32_t index = *connections_bucket(connections, hash);

    while (index != NO_CONNECTION) {
        struct connection *entry = &connections->entries[index];
        if (is_flow(entry, flow) && (entry->flags & CONNECTION_TEMPLATE) == template_flag)
            return entry;
        index = entry->next;
    }
    return NULL;
}

struct connection *connections_find(const struct connections *connections, const struct flow *flow)
{
    return connections_find_hashed(connections, flow, connections_hash(connections, flow));
}

struct connection *connections_find_hashed(const struct connections *connections,
                                           const struct flow *flow, uint32_t hash)
{
    return find(connections, flow, hash, 0);
}

struct connection *connections_find_template(const struct connections *connections,
                                             const struct flow *key)
{
    return find(connections, key, connections_hash(connections, key), CONNECTION_TEMPLATE);
}

uint32_t connections_namesakes(const struct connections *connections,
                               const struct connection *connection)
{
    struct flow flow = connection_flow(connection);
    uint32_t count = 0;

    for (uint32_t index = *bucket_of_flow(connections, &flow); index != NO_CONNECTION;
         index = connections->entries[index].next) {
        const struct connection *other = &connections->entries[index];
        count += is_flow(other, &flow) &&
                 ((other->flags ^ connection->flags) & CONNECTION_TEMPLATE) == 0;
    }
    return count;
}

static void hash_link(struct connections *connections, struct connection *connection)
{
    struct flow flow = connection_flow(connection);
    uint32_t *bucket = bucket_of_flow(connections, &flow);

    connection->next = *bucket;
    *bucket = connections_index(connections, connection);
}

static void hash_unlink(struct connections *connections, const struct connection *connection)
{
    struct flow flow = connection_flow(connection);
    uint32_t *link = bucket_of_flow(connections, &flow);
    uint32_t index = connections_index(connections, connection);

    while (*link != index)
        link = &connections->entries[*link].next;
    *link = connection->next;
}

void connections_link(struct connections *connections, struct connection *connection)
{
    hash_link(connections, connection);
    wheel_link(connections, connection);
}

/* ---- Making and ending ---- */

uint32_t connections_buckets(uint32_t room)
{
    uint32_t buckets = 1024;

    while (buckets < room && buckets < 0x80000000)
        buckets *= 2;
    return buckets;
}

void connections_init(struct connections *connections, uint64_t now_ns)
{
    *connections->book = (struct connections_book){
        .fresh = NO_CONNECTION + 1,
        .wheel_tick = tick_of(now_ns) / WHEEL_TICKS * WHEEL_TICKS,
        .timeouts = {.tcp_s = 900, .tcp_fin_s = 120, .udp_s = 300},
    };
}

static struct connection *take_entry(struct connections *connections)
{
    struct connections_book *book = connections->book;
    uint32_t index = book->free;

    if (index != NO_CONNECTION)
        book->free = connections->entries[index].next;
    else if (book->fresh < connections->room)
        index = book->fresh++;
    else
        return NULL;
    book->count++;
    book->created++;
    return &connections->entries[index];
}

/* What nobody without the seeds can bring about. */
static bool is_crowded(const struct connections *connections, const struct flow *flow)
{
    uint32_t index = *bucket_of_flow(connections, flow);
    uint32_t count = 0;

    for (; index != NO_CONNECTION && count < CROWD; count++)
        index = connections->entries[index].next;
    return count == CROWD;
}

static struct connection *add(struct connections *connections, struct table *table,
                              const struct flow *flow, struct server *server, uint32_t timeout_s,
                              uint32_t tick)
{
    if (is_crowded(connections, flow))
        return NULL;
    displace(connections, table, tick);
    struct connection *connection = take_entry(connections);
    if (!connection)
        return NULL;
    timeout_s = bounded_s(timeout_s);
    *connection = (struct connection){
        .client_port = flow->client_port,
        .port = flow->port,
        .protocol = flow->protocol,
        .server = (uint16_t)(server - table->servers),
        .flags = CONNECTION_INACTIVE,
        .timeout_s = timeout_s,
        .is_unproved = true,
        .expires = tick + ticks_of_seconds(timeout_s),
    };
    memcpy(connection->client, flow->client, ADDRESS);
    memcpy(connection->address, flow->address, ADDRESS);
    connections_link(connections, connection);
    connections->book->unproved++;
    queue_link(connections, connection);
    return connection;
}

/* Its template is held before anything is displaced for it: that one must stay. */
struct connection *connections_add(struct connections *connections, struct table *table,
                                   const struct flow *flow, struct server *server, uint32_t control,
                                   uint32_t tick)
{
    if (control != NO_CONNECTION)
        hold_template(connections, control);
    struct connection *connection =
        add(connections, table, flow, server, STATE_NEW_TIMEOUT_S, tick);
    if (!connection) {
        if (control != NO_CONNECTION)
            release_template(connections, control);
        return NULL;
    }
    server_taken(server, false);
    connection->control = control;
    return connection;
}

struct connection *connections_add_template(struct connections *connections, struct table *table,
                                            const struct flow *key, struct server *server,
                                            uint32_t timeout_s, uint32_t tick)
{
    struct connection *connection = add(connections, table, key, server, timeout_s, tick);

    if (!connection)
        return NULL;
    connection->flags = CONNECTION_TEMPLATE;
    server_taken(server, true);
    return connection;
}

void connections_end(struct connections *connections, struct table *table,
                     struct connection *connection, uint32_t tick)
{
    bool is_template = connection->flags & CONNECTION_TEMPLATE;

    if (is_template && connection->control != 0)
        return;
    hash_unlink(connections, connection);
    wheel_unlink(connections, connection);
    connections_spare(connections, connection);
    if (!is_template && connection->control != NO_CONNECTION)
        release_template(connections, connection->control);
    leave_server(table, connection, tick);

    memset(connection, 0, sizeof(*connection));
    connection->server = NO_SLOT;
    connection->next = connections->book->free;
    connections->book->free = connections_index(connections, connection);
    connections->book->count--;
    connections->book->expired++;
}

/* As the kernel does it: no client and no VIP has port 65535 on this key, so nothing finds it. */
void connections_invalidate(struct connections *connections, struct connection *connection)
{
    hash_unlink(connections, connection);
    connection->port = INVALID_PORT;
    hash_link(connections, connection);
}

void connections_drop(struct connections *connections, struct table *table,
                      struct connection *connection, uint32_t tick)
{
    bool is_template = connection->flags & CONNECTION_TEMPLATE;
    uint32_t control = is_template ? NO_CONNECTION : connection->control;

    connections_end(connections, table, connection, tick);
    if (control != NO_CONNECTION && connections->entries[control].state != TEMPLATE_ASSURED)
        connections_end(connections, table, &connections->entries[control], tick);
}
