/* connections.c -- the hash, the timer wheel, and the life of an entry. */
#include "connections.h"

#include <string.h>

#include "states.h"
#include "thresholds.h"

enum {
    WHEEL_HEAD = 0x80000000,
    REARM_S = 60, /* a template that still controls connections lives on in steps of this */
    INVALID_PORT = 0xffff,
};

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

/* ---- Timer wheel ----
 * A packet only moves `expires` on; the entry stays where it is linked and is moved when the wheel
 * comes by. Only a shorter time-out relinks at once. */

/* Linked entries are always less than one turn ahead of the wheel, so a slot names one time. */
static void wheel_link(struct connections *connections, struct connection *connection)
{
    uint32_t at = connections->book->wheel_tick;
    int32_t ahead = ((int32_t)(connection->expires - at) + WHEEL_TICKS - 1) / WHEEL_TICKS;

    if (ahead < 1)
        ahead = 1;
    if (ahead > WHEEL_SLOTS - 1)
        ahead = WHEEL_SLOTS - 1;

    uint32_t slot = (at / WHEEL_TICKS + (uint32_t)ahead) % WHEEL_SLOTS;
    uint32_t index = connections_index(connections, connection);
    uint32_t *head = &connections->wheel[slot];
    connection->wheel_next = *head;
    connection->wheel_previous = WHEEL_HEAD | slot;
    if (*head != NO_CONNECTION)
        connections->entries[*head].wheel_previous = index;
    *head = index;
}

static void wheel_unlink(struct connections *connections, const struct connection *connection)
{
    if (connection->wheel_previous & WHEEL_HEAD)
        connections->wheel[connection->wheel_previous & ~WHEEL_HEAD] = connection->wheel_next;
    else
        connections->entries[connection->wheel_previous].wheel_next = connection->wheel_next;
    if (connection->wheel_next != NO_CONNECTION)
        connections->entries[connection->wheel_next].wheel_previous = connection->wheel_previous;
}

/* Seldom, so not where it is called. */
__attribute__((noinline)) static void relink(struct connections *connections,
                                             struct connection *connection)
{
    wheel_unlink(connections, connection);
    wheel_link(connections, connection);
}

/* Rounded up, and one more because the tick it is added to has begun: never early. */
static uint32_t ticks_of_seconds(uint32_t seconds)
{
    const uint64_t tick_ns = UINT64_C(1) << TICK_SHIFT;

    return (uint32_t)(((uint64_t)seconds * 1000000000 + tick_ns - 1) >> TICK_SHIFT) + 1;
}

static void restart(struct connections *connections, struct connection *connection,
                    uint32_t timeout_s, uint32_t tick)
{
    uint32_t expires = tick + ticks_of_seconds(timeout_s);
    bool sooner = (int32_t)(expires - connection->expires) < 0;

    connection->expires = expires;
    if (sooner)
        relink(connections, connection);
}

void connections_restart(struct connections *connections, struct connection *connection,
                         uint32_t tick)
{
    restart(connections, connection, connection->timeout_s, tick);
}

uint32_t connections_idle_s(const struct connection *connection, uint32_t tick)
{
    int64_t left = (int32_t)(connection->expires - tick);
    int64_t idle = (int64_t)ticks_of_seconds(connection->timeout_s) - left;

    return idle < 0 ? 0 : seconds_of((uint32_t)idle);
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

void connections_init(struct connections *connections, uint64_t seed, uint64_t now_ns)
{
    *connections->book = (struct connections_book){
        .seed = seed,
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

static uint32_t bounded_s(uint32_t timeout_s)
{
    return timeout_s < LONGEST_TIMEOUT_S ? timeout_s : LONGEST_TIMEOUT_S;
}

static struct connection *add(struct connections *connections, struct table *table,
                              const struct flow *flow, struct server *server, uint32_t timeout_s,
                              uint32_t tick)
{
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
        .expires = tick + ticks_of_seconds(timeout_s),
    };
    memcpy(connection->client, flow->client, ADDRESS);
    memcpy(connection->address, flow->address, ADDRESS);
    connections_link(connections, connection);
    return connection;
}

struct connection *connections_add(struct connections *connections, struct table *table,
                                   const struct flow *flow, struct server *server, uint32_t control,
                                   uint32_t tick)
{
    struct connection *connection =
        add(connections, table, flow, server, STATE_NEW_TIMEOUT_S, tick);

    if (!connection)
        return NULL;
    server_taken(server, false);
    connection->control = control;
    if (control != NO_CONNECTION)
        connections->entries[control].control++;
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

/* A server counts a connection as active or inactive; it changes sides with the state. */
void connections_change_side(struct table *table, struct connection *connection, bool inactive)
{
    struct server *server = &table->servers[connection->server];

    if (inactive == !!(connection->flags & CONNECTION_INACTIVE))
        return;
    if (inactive) {
        server->active--;
        server->inactive++;
    } else {
        server->active++;
        server->inactive--;
    }
    connection->flags ^= CONNECTION_INACTIVE;
}

void connections_set_timeout(struct connections *connections, struct connection *connection,
                             uint32_t timeout_s, uint32_t tick)
{
    timeout_s = bounded_s(timeout_s);
    if (connection->timeout_s != timeout_s)
        connection->timeout_s = timeout_s;
    restart(connections, connection, timeout_s, tick);
}

__attribute__((noinline)) static void change_state(struct connections *connections,
                                                   struct table *table,
                                                   struct connection *connection, uint8_t state)
{
    bool is_active = state_is_active(connection->protocol, state);

    connection->state = state;
    connections_change_side(table, connection, !is_active);
    if (connection->control != NO_CONNECTION && state_is_established(connection->protocol, state))
        connections->entries[connection->control].state = TEMPLATE_ASSURED;
}

void connections_packet(struct connections *connections, struct table *table,
                        struct connection *connection, const struct packet *packet, bool secure,
                        uint32_t tick)
{
    uint8_t state = state_after(connection->state, packet, secure);

    if (state != connection->state)
        change_state(connections, table, connection, state);
    connections_set_timeout(
        connections, connection,
        state_timeout_s(connection->protocol, state, &connections->book->timeouts), tick);
}

struct connection_rest *connections_rest(struct connections *connections,
                                         struct connection *connection, uint32_t tick)
{
    struct connection_rest *rest = &connections->rest[connections_index(connections, connection)];

    if (!(connection->flags & CONNECTION_HAS_REST)) {
        *rest = (struct connection_rest){.announced = tick & ~3u};
        connection->flags |= CONNECTION_HAS_REST;
    }
    return rest;
}

uint32_t connections_packets(const struct connections *connections,
                             const struct connection *connection)
{
    if (!(connection->flags & CONNECTION_HAS_REST))
        return connection->packets;
    uint32_t high = connections->rest[connections_index(connections, connection)].packets;
    return high << PACKET_BITS | connection->packets;
}

void connections_set_packets(struct connections *connections, struct connection *connection,
                             uint32_t packets, uint32_t tick)
{
    connection->packets = packets & ((1 << PACKET_BITS) - 1);
    connections_rest(connections, connection, tick)->packets = packets >> PACKET_BITS;
}

static void leave_server(struct table *table, struct connection *connection, uint32_t tick)
{
    bool is_template = connection->flags & CONNECTION_TEMPLATE;
    struct server *server = &table->servers[connection->server];

    if (!is_template && connection->flags & CONNECTION_INACTIVE)
        server->inactive--;
    else if (!is_template)
        server->active--;
    server_released(server, is_template, seconds_of(tick));
}

void connections_move(struct table *table, struct connection *connection, struct server *server,
                      uint32_t tick)
{
    bool is_template = connection->flags & CONNECTION_TEMPLATE;
    bool inactive = connection->flags & CONNECTION_INACTIVE;

    leave_server(table, connection, tick);
    connection->server = (uint16_t)(server - table->servers);
    server_taken(server, is_template);
    if (is_template)
        return;
    connection->flags |= CONNECTION_INACTIVE; /* as server_taken() counts it */
    connections_change_side(table, connection, inactive);
}

void connections_end(struct connections *connections, struct table *table,
                     struct connection *connection, uint32_t tick)
{
    bool is_template = connection->flags & CONNECTION_TEMPLATE;

    if (is_template && connection->control != 0)
        return;
    hash_unlink(connections, connection);
    wheel_unlink(connections, connection);
    if (!is_template && connection->control != NO_CONNECTION)
        connections->entries[connection->control].control--;
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

static void fire(struct connections *connections, struct table *table,
                 struct connection *connection, uint32_t tick)
{
    if ((int32_t)(connection->expires - tick) > 0) {
        relink(connections, connection);
    } else if (connection->flags & CONNECTION_TEMPLATE && connection->control != 0) {
        connection->timeout_s = REARM_S;
        connection->expires = tick + ticks_of_seconds(REARM_S);
        relink(connections, connection);
        if (connections->listener.rearmed)
            connections->listener.rearmed(connections->listener.whose, connection, tick);
    } else {
        connections_end(connections, table, connection, tick);
    }
}

bool connections_expire(struct connections *connections, struct table *table, uint32_t tick,
                        uint32_t budget)
{
    struct connections_book *book = connections->book;
    const int32_t turn = WHEEL_SLOTS * WHEEL_TICKS;

    /* After a long sleep one turn of the wheel meets every entry. */
    if ((int32_t)(tick - book->wheel_tick) > turn)
        book->wheel_tick = tick / WHEEL_TICKS * WHEEL_TICKS - (uint32_t)turn;
    while ((int32_t)(tick - book->wheel_tick) >= 0) {
        uint32_t *head = &connections->wheel[book->wheel_tick / WHEEL_TICKS % WHEEL_SLOTS];
        while (*head != NO_CONNECTION) {
            if (budget-- == 0)
                return true;
            fire(connections, table, &connections->entries[*head], tick);
        }
        book->wheel_tick += WHEEL_TICKS;
    }
    return false;
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

/* ---- Connections of removed and drained servers ---- */

void connections_sweep_begin(struct connections *connections, uint32_t tick)
{
    connections->book->sweep = NO_CONNECTION + 1;
    connections->book->sweep_tick = tick;
}

static bool is_stranded(const struct connection *connection, const struct server *server,
                        bool removed)
{
    if (server->use == SLOT_REMOVED)
        return removed;
    return server->config.drain == DR_DRAIN_DROP ||
           (server->config.drain == DR_DRAIN_REHASH && connection->protocol == PROTOCOL_UDP);
}

bool connections_sweep(struct connections *connections, struct table *table, bool removed,
                       uint32_t tick, uint32_t budget)
{
    struct connections_book *book = connections->book;

    if (book->sweep == NO_CONNECTION || tick == book->sweep_tick)
        return false;
    for (; book->sweep != NO_CONNECTION && budget > 0; budget--) {
        if (book->sweep >= book->fresh) {
            book->sweep = NO_CONNECTION;
            break;
        }
        struct connection *connection = &connections->entries[book->sweep++];
        if (connection->server != NO_SLOT &&
            is_stranded(connection, &table->servers[connection->server], removed))
            connections_drop(connections, table, connection, tick);
    }
    return book->sweep != NO_CONNECTION;
}
