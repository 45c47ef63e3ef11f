/* life.c -- a connection between its beginning and its end: its state, its packets, and which side
 * of which server's account it is on. */
#include "entries.h"
#include "states.h"
#include "thresholds.h"

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

/* Not by its first packet, which in mid-stream may be anything; by a second datagram. */
__attribute__((noinline, cold)) static void look_for_proof(struct connections *connections,
                                                           struct connection *connection,
                                                           const struct packet *packet)
{
    bool is_first = connection->packets == 0 && !(connection->flags & CONNECTION_HAS_REST);

    if (!is_first && !packet->is_cut_short && !packet->is_later_fragment &&
        state_is_proof(connection->protocol, connection->state))
        connections_prove(connections, connection);
}

void connections_packet(struct connections *connections, struct table *table,
                        struct connection *connection, const struct packet *packet, bool secure,
                        uint32_t tick)
{
    uint8_t state = state_after(connection->state, packet, secure);

    if (state != connection->state)
        change_state(connections, table, connection, state);
    if (connection->is_unproved)
        look_for_proof(connections, connection, packet);
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

void leave_server(struct table *table, struct connection *connection, uint32_t tick)
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
