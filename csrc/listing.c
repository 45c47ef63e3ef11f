/* listing.c -- services, servers, connections and counters as rows. */
#include "listing.h"

#include <string.h>

enum { STRETCH = 65536 }; /* entries looked at in one go: forwarding waits meanwhile */

void listing_stats(const struct director *director, struct dr_stats *out)
{
    const struct connections_book *book = director->connections.book;

    *out = *director->stats;
    out->created = book->created;
    out->expired = book->expired;
    out->displaced = book->displaced;
    out->unproved = book->unproved;
    out->connections = book->count;
    out->services = table_count_services(&director->table);
    out->servers = table_count_servers(&director->table);
    out->in = director->table.totals->in;
    out->rates = estimator_rates(&director->table.totals->estimator);
}

size_t listing_services(const struct director *director, struct dr_service_row *rows, size_t room)
{
    const struct table *table = &director->table;
    size_t count = 0;

    for (uint32_t slot = 0; slot < table->service_room && count < room; slot++) {
        const struct service *service = &table->services[slot];
        if (service->use != SLOT_LISTED)
            continue;
        rows[count++] = (struct dr_service_row){
            .service = service->config,
            .in = service->in,
            .rates = estimator_rates(&service->estimator),
            .slot = slot,
            .servers = service->servers,
        };
    }
    return count;
}

static struct dr_server_row server_row(const struct server *server, uint32_t slot)
{
    struct dr_server_row row = {
        .server = server->config,
        .in = server->in,
        .rates = estimator_rates(&server->estimator),
        .slot = slot,
        .active = server->active,
        .inactive = server->inactive,
        .persistent = server->persistent,
        .overloaded = server->overloaded,
    };

    memcpy(row.mac, server->mac, MAC);
    row.mtu = server->mtu;
    return row;
}

size_t listing_servers(const struct director *director, uint32_t service_slot,
                       struct dr_server_row *rows, size_t room)
{
    const struct table *table = &director->table;
    size_t count = 0;

    if (service_slot >= table->service_room || table->services[service_slot].use != SLOT_LISTED)
        return 0;
    for (uint32_t slot = table->services[service_slot].head; slot != NO_SLOT && count < room;
         slot = table->servers[slot].next)
        rows[count++] = server_row(&table->servers[slot], slot);
    return count;
}

static struct dr_connection_row connection_row(const struct table *table,
                                               const struct connection *connection, uint32_t tick)
{
    const struct server *server = &table->servers[connection->server];
    int32_t left = (int32_t)(connection->expires - tick);
    struct dr_connection_row row = {
        .client_port = connection->client_port,
        .port = connection->port,
        .server_port = connection->port, /* direct routing changes none */
        .protocol = connection->protocol,
        .state = connection->state,
        .is_template = !!(connection->flags & CONNECTION_TEMPLATE),
        .removed = !server_is_there(server),
        .synced = !!(connection->flags & CONNECTION_SYNCED),
        .left_ms = left > 0 ? (uint32_t)(((uint64_t)left << TICK_SHIFT) / 1000000) : 0,
    };

    memcpy(row.client, connection->client, ADDRESS);
    memcpy(row.address, connection->address, ADDRESS);
    memcpy(row.server, server->config.address, ADDRESS);
    return row;
}

size_t listing_connections(const struct director *director, uint32_t *cursor, uint32_t tick,
                           struct dr_connection_row *rows, size_t room)
{
    const struct connections *connections = &director->connections;
    uint32_t end = connections->book->fresh;
    uint32_t index = *cursor == 0 ? NO_CONNECTION + 1 : *cursor;
    uint32_t stop = end - index > STRETCH ? index + STRETCH : end;
    size_t count = 0;

    for (; index < stop && count < room; index++)
        if (connections->entries[index].server != NO_SLOT)
            rows[count++] = connection_row(&director->table, &connections->entries[index], tick);
    *cursor = index < end ? index : 0;
    return count;
}
