/* convert.c -- the state of one size comes into a region of another. */
#include <errno.h>
#include <string.h>

#include "state.h"

/* What somebody would miss: connections that go on, and templates that hold some or did. */
static bool is_in_use(const struct connection *connection)
{
    if (connection->flags & CONNECTION_TEMPLATE)
        return connection->control > 0 || connection->state != TEMPLATE_NONE;
    return !(connection->flags & CONNECTION_INACTIVE);
}

/* An entry that has moved says where to, in its `next`. */
static void move(struct connections *from, struct connections *to, uint32_t index)
{
    struct connection *old = &from->entries[index];
    uint32_t place = to->book->fresh < to->room ? to->book->fresh++ : NO_CONNECTION;

    if (place != NO_CONNECTION) {
        to->entries[place] = *old;
        if (old->flags & CONNECTION_HAS_REST)
            to->rest[place] = from->rest[index];
    }
    old->next = place;
}

static void move_connections(struct connections *from, struct connections *to)
{
    const uint32_t end = from->book->fresh;
    uint64_t created = from->book->created;
    const struct dr_timeouts timeouts = from->book->timeouts;

    for (int used = 1; used >= 0; used--)
        for (uint32_t index = NO_CONNECTION + 1; index < end; index++) {
            const struct connection *old = &from->entries[index];
            if (old->server != NO_SLOT && is_in_use(old) == used)
                move(from, to, index);
        }
    for (uint32_t index = NO_CONNECTION + 1; index < to->book->fresh; index++) {
        struct connection *moved = &to->entries[index];
        if (!(moved->flags & CONNECTION_TEMPLATE) && moved->control != NO_CONNECTION)
            moved->control = from->entries[moved->control].next;
    }
    to->book->created = created;
    to->book->timeouts = timeouts;
}

int dr_state_convert(void *from, size_t from_size, void *to, size_t to_size,
                     const struct dr_limits *limits, uint64_t now_ns, struct dr_adoption *out)
{
    const struct dr_state_look look = state_look(from, from_size, limits);
    struct dr_limits own = *limits;
    struct director old = {0}, new = {0};

    if (look.state != DR_STATE_OTHER_ROOM || look.services > limits->services ||
        look.servers > limits->servers)
        return -EINVAL;
    own.services = look.services;
    own.servers = look.servers;
    own.connections = look.connections;
    enum state_outcome outcome = state_map(&old, from, from_size, &own, now_ns);
    if (outcome == STATE_NO_MEMORY)
        return -ENOMEM;
    if (outcome != STATE_ADOPTED || state_map(&new, to, to_size, limits, now_ns) != STATE_FRESH)
        return -EINVAL;
    memcpy(new.table.services, old.table.services, look.services * sizeof(struct service));
    memcpy(new.table.servers, old.table.servers, look.servers * sizeof(struct server));
    *new.table.totals = *old.table.totals;
    *new.stats = *old.stats;
    uint32_t found = old.connections.book->count;
    move_connections(&old.connections, &new.connections);
    /* Links and counts are made by the same hand as at every adoption. */
    if (state_map(&new, to, to_size, limits, now_ns) != STATE_ADOPTED)
        return -ENOMEM;
    *out = new.adoption;
    out->lost = old.adoption.lost + found - new.adoption.connections;
    out->put_right += old.adoption.put_right;
    return 0;
}
