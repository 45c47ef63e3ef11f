/* mend.c -- after a kill. An entry is written before it is linked and cleared after it is unlinked,
 * so whether it is one can be told from itself. */
#include "mend.h"

#include <string.h>

/* Never used, or cleared, or taken and not yet written: without a server, or without a VIP. */
static bool is_used(const struct table *table, const struct connection *connection)
{
    static const uint8_t nowhere[ADDRESS] = {0};

    return connection->server < table->server_room &&
           table->servers[connection->server].use != SLOT_FREE &&
           !is_same_address(connection->address, nowhere);
}

static bool is_template(const struct connection *connection)
{
    return connection->flags & CONNECTION_TEMPLATE;
}

static void forget_links(struct connections *connections, struct table *table)
{
    size_t buckets = (size_t)connections->bucket_mask + 1;

    memset(connections->buckets, 0, buckets * sizeof(*connections->buckets));
    memset(connections->wheel, 0, WHEEL_SLOTS * sizeof(*connections->wheel));
    connections->book->free = NO_CONNECTION;
    connections->book->count = 0;
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        struct server *server = &table->servers[slot];
        server->active = server->inactive = server->persistent = server->references = 0;
    }
}

static void set_free(struct connections *connections, uint32_t index)
{
    struct connection *connection = &connections->entries[index];

    memset(connection, 0, sizeof(*connection));
    connection->server = NO_SLOT;
    connection->next = connections->book->free;
    connections->book->free = index;
}

static void count(struct connections *connections, struct table *table,
                  struct connection *connection)
{
    struct server *server = &table->servers[connection->server];

    connections->book->count++;
    server->references++;
    if (is_template(connection)) {
        server->persistent++;
        return;
    }
    if (connection->flags & CONNECTION_INACTIVE)
        server->inactive++;
    else
        server->active++;
    struct connection *control = &connections->entries[connection->control];
    if (connection->control < connections->book->fresh && is_used(table, control) &&
        is_template(control))
        control->control++;
    else
        connection->control = NO_CONNECTION;
}

void mend_connections(struct connections *connections, struct table *table)
{
    struct connections_book *book = connections->book;

    if (book->fresh == NO_CONNECTION || book->fresh > connections->room)
        book->fresh = connections->room;
    forget_links(connections, table);
    for (uint32_t index = book->fresh - 1; index != NO_CONNECTION; index--) {
        struct connection *connection = &connections->entries[index];
        if (!is_used(table, connection))
            set_free(connections, index);
        else if (is_template(connection))
            connection->control = 0;
    }
    for (uint32_t index = NO_CONNECTION + 1; index < book->fresh; index++) {
        struct connection *connection = &connections->entries[index];
        if (connection->server == NO_SLOT)
            continue;
        count(connections, table, connection);
        connections_link(connections, connection);
    }
    book->expired = book->created - book->count;
}

void mend_stats(struct dr_stats *stats)
{
    stats->frames = 0;
    for (int verdict = 0; verdict < DR_VERDICTS; verdict++)
        stats->frames += stats->verdicts[verdict];
}
