/* unproved.c -- entries whose client has not gone on after its first packet: a share of the table
 * of their own, in which the oldest makes room for the next. So whatever a flood from sources that
 * are not there begins, it displaces its like and never a connection that is in use.
 *
 * Kernel IPVS has nothing like it. A template is unproved until one of its connections is not, and
 * while it controls some it cannot be displaced but goes with the last of them: it is in the queue
 * only while it controls none. So while there is anything unproved, the queue is not empty. */
#include "entries.h"

enum { MOST_AT_ONCE = 4 }; /* displaced for one that begins; more than one where the share shrank */

void connections_set_share(struct connections *connections, uint32_t percent)
{
    uint64_t room = connections->room - 1;
    uint32_t share = (uint32_t)(room * (percent < 100 ? percent : 100) / 100);

    connections->unproved_share = percent != 0 && share == 0 ? 1 : share;
}

void queue_link(struct connections *connections, const struct connection *connection)
{
    struct connections_book *book = connections->book;
    uint32_t index = connections_index(connections, connection);

    connections->queue[index] = (struct connection_queue){.older = book->newest};
    if (book->newest == NO_CONNECTION)
        book->oldest = index;
    else
        connections->queue[book->newest].newer = index;
    book->newest = index;
}

void queue_unlink(struct connections *connections, const struct connection *connection)
{
    struct connections_book *book = connections->book;
    const struct connection_queue *at =
        &connections->queue[connections_index(connections, connection)];

    if (at->older == NO_CONNECTION)
        book->oldest = at->newer;
    else
        connections->queue[at->older].newer = at->newer;
    if (at->newer == NO_CONNECTION)
        book->newest = at->older;
    else
        connections->queue[at->newer].older = at->older;
}

static bool is_held(const struct connection *connection)
{
    return connection->flags & CONNECTION_TEMPLATE && connection->control != 0;
}

void hold_template(struct connections *connections, uint32_t control)
{
    struct connection *template = &connections->entries[control];

    if (template->is_unproved && !is_held(template))
        queue_unlink(connections, template);
    template->control++;
}

void release_template(struct connections *connections, uint32_t control)
{
    struct connection *template = &connections->entries[control];

    template->control--;
    if (template->is_unproved && !is_held(template))
        queue_link(connections, template);
}

void connections_spare(struct connections *connections, struct connection *connection)
{
    if (!connection->is_unproved)
        return;
    if (!is_held(connection))
        queue_unlink(connections, connection);
    connection->is_unproved = false;
    connections->book->unproved--;
}

void connections_prove(struct connections *connections, struct connection *connection)
{
    connections_spare(connections, connection);
    if (!(connection->flags & CONNECTION_TEMPLATE) && connection->control != NO_CONNECTION)
        connections_spare(connections, &connections->entries[connection->control]);
}

static bool is_short(const struct connections *connections)
{
    const struct connections_book *book = connections->book;

    return book->unproved >= connections->unproved_share || book->count == connections->room - 1;
}

/* A template that has served nobody but this one goes with it. */
static void displace_one(struct connections *connections, struct table *table,
                         struct connection *connection, uint32_t tick)
{
    uint32_t control =
        connection->flags & CONNECTION_TEMPLATE ? NO_CONNECTION : connection->control;
    struct connection *template = &connections->entries[control];
    uint32_t before = connections->book->count;

    connections_end(connections, table, connection, tick);
    if (control != NO_CONNECTION && template->is_unproved)
        connections_end(connections, table, template, tick);
    connections->book->displaced += before - connections->book->count;
}

void displace(struct connections *connections, struct table *table, uint32_t tick)
{
    struct connections_book *book = connections->book;

    if (connections->unproved_share == 0)
        return;
    for (int i = 0; i < MOST_AT_ONCE && book->oldest != NO_CONNECTION && is_short(connections); i++)
        displace_one(connections, table, &connections->entries[book->oldest], tick);
}
