/* mend.c -- connections and counters. An entry is written before it is linked and cleared after it
 * is unlinked, so whether it is one can be told from itself. */
#include "mend.h"

#include <string.h>

#include "entries.h"
#include "states.h"

enum {
    NAMESAKES =
        8, /* entries of one name, as templates that were replaced may be; more are damage */
    MOST_BITS = 56, /* of a counter: a thousand years of 2 million a second */
};

static const struct dr_timeouts usual_timeouts = {.tcp_s = 900, .tcp_fin_s = 120, .udp_s = 300};

static bool is_template(const struct connection *connection)
{
    return connection->flags & CONNECTION_TEMPLATE;
}

/* ---- One entry ---- */

/* Never used, or cleared, or taken and not yet written: without a server, or without a VIP. */
static bool is_used(const struct table *table, const struct connection *connection)
{
    static const uint8_t nowhere[ADDRESS] = {0};

    return connection->server < table->server_room &&
           table->servers[connection->server].use != SLOT_FREE &&
           !is_same_address(connection->address, nowhere);
}

/* In a state that its protocol has; a template of a mark has no protocol. */
static bool is_possible(const struct connection *connection)
{
    if (is_template(connection))
        return connection->state <= TEMPLATE_ASSURED &&
               (connection->protocol == PROTOCOL_ANY || state_count(connection->protocol) > 0);
    return connection->state < state_count(connection->protocol);
}

/* Its last packet was not after now. */
static void bound_time(struct connection *connection, uint32_t tick)
{
    uint32_t latest = tick + ticks_of_seconds(connection->timeout_s);

    if ((int32_t)(latest - connection->expires) < 0)
        connection->expires = latest;
}

static void set_free(struct connections *connections, uint32_t index)
{
    struct connection *connection = &connections->entries[index];

    memset(connection, 0, sizeof(*connection));
    connection->server = NO_SLOT;
    connection->next = connections->book->free;
    connections->book->free = index;
}

/* ---- All of them ---- */

static void mend_book(struct connections *connections, uint32_t tick)
{
    struct connections_book *book = connections->book;
    struct dr_timeouts *timeouts = &book->timeouts;

    if (book->fresh == NO_CONNECTION || book->fresh > connections->room)
        book->fresh = connections->room;
    if (book->sweep > book->fresh)
        book->sweep = NO_CONNECTION;
    if (timeouts->tcp_s - 1 >= LONGEST_TIMEOUT_S)
        timeouts->tcp_s = usual_timeouts.tcp_s;
    if (timeouts->tcp_fin_s - 1 >= LONGEST_TIMEOUT_S)
        timeouts->tcp_fin_s = usual_timeouts.tcp_fin_s;
    if (timeouts->udp_s - 1 >= LONGEST_TIMEOUT_S)
        timeouts->udp_s = usual_timeouts.udp_s;
    book->wheel_tick = (tick / WHEEL_TICKS - 1) * WHEEL_TICKS; /* what is over ends at once */
    book->free = NO_CONNECTION;
    book->count = 0;
    book->unproved = 0;
    book->oldest = book->newest = NO_CONNECTION;
}

static void forget_links(struct connections *connections, struct table *table)
{
    size_t buckets = (size_t)connections->bucket_mask + 1;

    memset(connections->buckets, 0, buckets * sizeof(*connections->buckets));
    memset(connections->wheel, 0, WHEEL_SLOTS * sizeof(*connections->wheel));
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        struct server *server = &table->servers[slot];
        server->active = server->inactive = server->persistent = server->references = 0;
    }
}

/* From the last to the first, so that the first free ones are taken first. */
static void sift(struct connections *connections, const struct table *table, uint32_t tick)
{
    for (uint32_t index = connections->book->fresh - 1; index != NO_CONNECTION; index--) {
        struct connection *connection = &connections->entries[index];
        if (!is_used(table, connection) || !is_possible(connection)) {
            set_free(connections, index);
            continue;
        }
        if (is_template(connection)) {
            connection->flags &= ~CONNECTION_INACTIVE;
            connection->control = 0;
        }
        bound_time(connection, tick);
    }
}

/* An entry among thousands of its name would make each look for it a walk through them. */
static void link_all(struct connections *connections)
{
    for (uint32_t index = NO_CONNECTION + 1; index < connections->book->fresh; index++) {
        struct connection *connection = &connections->entries[index];
        if (connection->server == NO_SLOT)
            continue;
        if (connections_namesakes(connections, connection) >= NAMESAKES)
            set_free(connections, index);
        else
            connections_link(connections, connection);
    }
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
    if (connection->control < connections->book->fresh && control->server != NO_SLOT &&
        is_template(control))
        control->control++;
    else
        connection->control = NO_CONNECTION;
}

/* A template that a proved connection depends on is one too. */
static void prove_controls(struct connections *connections)
{
    for (uint32_t index = NO_CONNECTION + 1; index < connections->book->fresh; index++) {
        const struct connection *connection = &connections->entries[index];
        if (connection->server != NO_SLOT && !is_template(connection) && !connection->is_unproved &&
            connection->control != NO_CONNECTION)
            connections->entries[connection->control].is_unproved = false;
    }
}

/* Of their ages nothing is known but the order in which they lie. */
static void queue_all(struct connections *connections)
{
    for (uint32_t index = NO_CONNECTION + 1; index < connections->book->fresh; index++) {
        const struct connection *connection = &connections->entries[index];
        if (connection->server == NO_SLOT || !connection->is_unproved)
            continue;
        connections->book->unproved++;
        if (!is_template(connection) || connection->control == 0)
            queue_link(connections, connection);
    }
}

/* One that is no longer full by any measure must not stay closed: nothing would open it. */
static void mend_overload(struct server *server)
{
    uint64_t taken = (uint64_t)server->active + server->inactive;
    uint64_t reopens =
        server->config.lower ? server->config.lower : ((uint64_t)server->config.upper * 3 + 3) / 4;

    server->overloaded = server->config.upper != 0 && server->overloaded && taken >= reopens;
}

uint32_t mend_connections(struct connections *connections, struct table *table, uint32_t tick)
{
    struct connections_book *book = connections->book;

    mend_book(connections, tick);
    forget_links(connections, table);
    sift(connections, table, tick);
    link_all(connections);
    for (uint32_t index = NO_CONNECTION + 1; index < book->fresh; index++)
        if (connections->entries[index].server != NO_SLOT)
            count(connections, table, &connections->entries[index]);
    prove_controls(connections);
    queue_all(connections);
    for (uint32_t slot = 0; slot < table->server_room; slot++)
        if (table->servers[slot].use != SLOT_FREE)
            mend_overload(&table->servers[slot]);
    if (book->created < book->count || book->created >> MOST_BITS)
        book->created = book->count;
    book->expired = book->created - book->count;
    if (book->displaced > book->expired)
        book->displaced = book->expired;
    return book->count;
}

/* ---- Counters ---- */

void mend_stats(struct dr_stats *stats)
{
    uint64_t all = stats->bytes | stats->ring_dropped;

    for (int verdict = 0; verdict < DR_VERDICTS; verdict++)
        all |= stats->verdicts[verdict];
    if (all >> MOST_BITS)
        memset(stats, 0, sizeof(*stats));
    stats->frames = 0;
    for (int verdict = 0; verdict < DR_VERDICTS; verdict++)
        stats->frames += stats->verdicts[verdict];
}
