/* sweep.c -- connections of removed and drained servers. */
#include "connections.h"

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
