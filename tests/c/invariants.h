/* invariants.h -- what must hold of a director's tables between any two frames. */
#ifndef INVARIANTS_H
#define INVARIANTS_H

#include "connections.h"
#include "test.h"

enum { LATE_TICKS = 3 * WHEEL_TICKS }; /* how long after its time an entry may still be there */

static inline bool is_live(const struct connections *connections, uint32_t index)
{
    return index != NO_CONNECTION && index < connections->book->fresh &&
           connections->entries[index].server != NO_SLOT;
}

/* Every entry ever used is either live or in the free list. */
static inline void check_entries(const struct connections *connections)
{
    const struct connections_book *book = connections->book;
    uint32_t live = 0;
    uint32_t free_entries = 0;

    CHECK(book->fresh >= 1 && book->fresh <= connections->room);
    for (uint32_t index = 1; index < book->fresh; index++)
        live += is_live(connections, index);
    for (uint32_t index = book->free; index != NO_CONNECTION;
         index = connections->entries[index].next) {
        CHECK(index < book->fresh && !is_live(connections, index));
        CHECK(++free_entries < connections->room);
    }
    CHECK(live == book->count);
    CHECK(live + free_entries == book->fresh - 1);
    CHECK(book->created - book->expired == book->count);
}

enum { BLOCK = 128 };

_Static_assert(NO_CONNECTION == 0 && WHEEL_SLOTS % BLOCK == 0, "see is_empty()");

/* Whether no slot of a block has anything; most have not, and fuzzing looks at all, often. */
static inline bool is_empty(const uint32_t *slots)
{
    static const uint32_t nothing[BLOCK];

    return memcmp(slots, nothing, sizeof(nothing)) == 0;
}

/* Every live entry is in one bucket and one slot of the wheel, and nothing else is. */
static inline void check_links(const struct connections *connections)
{
    uint32_t hashed = 0;
    uint32_t timed = 0;

    for (uint32_t bucket = 0; bucket <= connections->bucket_mask; bucket++)
        for (uint32_t index = connections->buckets[bucket]; index != NO_CONNECTION;
             index = connections->entries[index].next) {
            CHECK(is_live(connections, index));
            CHECK(++hashed <= connections->book->count);
        }
    for (uint32_t slot = 0; slot < WHEEL_SLOTS; slot++) {
        if (slot % BLOCK == 0 && is_empty(connections->wheel + slot)) {
            slot += BLOCK - 1;
            continue;
        }
        uint32_t previous = 0x80000000 | slot;
        for (uint32_t index = connections->wheel[slot]; index != NO_CONNECTION;
             index = connections->entries[index].wheel_next) {
            CHECK(is_live(connections, index));
            CHECK(connections->entries[index].wheel_previous == previous);
            CHECK(++timed <= connections->book->count);
            previous = index;
        }
    }
    CHECK(hashed == connections->book->count);
    CHECK(timed == connections->book->count);
}

/* Of what is unproved all but templates that control something are in the queue, from the oldest to
 * the newest, and nothing else is; where something is unproved, something can be displaced. */
static inline void check_unproved(const struct connections *connections)
{
    const struct connections_book *book = connections->book;
    uint32_t unproved = 0;
    uint32_t queued = 0;
    uint32_t found = 0;
    uint32_t older = NO_CONNECTION;

    for (uint32_t index = 1; index < book->fresh; index++) {
        const struct connection *entry = &connections->entries[index];
        if (!is_live(connections, index) || !entry->is_unproved)
            continue;
        unproved++;
        queued += !(entry->flags & CONNECTION_TEMPLATE) || entry->control == 0;
    }
    for (uint32_t index = book->oldest; index != NO_CONNECTION;
         index = connections->queue[index].newer) {
        const struct connection *entry = &connections->entries[index];
        CHECK(is_live(connections, index) && entry->is_unproved);
        CHECK(!(entry->flags & CONNECTION_TEMPLATE) || entry->control == 0);
        CHECK(connections->queue[index].older == older);
        CHECK(++found <= book->count);
        older = index;
    }
    CHECK(older == book->newest);
    CHECK(found == queued && unproved == book->unproved);
    CHECK(unproved == 0 || queued > 0);
    CHECK(book->displaced <= book->expired);
}

static inline void check_templates(const struct connections *connections)
{
    for (uint32_t index = 1; index < connections->book->fresh; index++) {
        if (!is_live(connections, index))
            continue;
        const struct connection *connection = &connections->entries[index];
        if (!(connection->flags & CONNECTION_TEMPLATE)) {
            uint32_t control = connection->control;
            CHECK(control == NO_CONNECTION ||
                  (is_live(connections, control) &&
                   connections->entries[control].flags & CONNECTION_TEMPLATE));
            continue;
        }
        uint32_t controlled = 0;
        for (uint32_t other = 1; other < connections->book->fresh; other++)
            controlled += is_live(connections, other) &&
                          !(connections->entries[other].flags & CONNECTION_TEMPLATE) &&
                          connections->entries[other].control == index;
        CHECK(controlled == connection->control);
    }
}

/* A server's numbers are those of the entries that name it. */
static inline void check_servers(const struct connections *connections, const struct table *table)
{
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        const struct server *server = &table->servers[slot];
        uint32_t active = 0;
        uint32_t inactive = 0;
        uint32_t templates = 0;
        for (uint32_t index = 1; index < connections->book->fresh; index++) {
            const struct connection *connection = &connections->entries[index];
            if (!is_live(connections, index) || connection->server != slot)
                continue;
            bool is_template = connection->flags & CONNECTION_TEMPLATE;
            bool is_inactive = connection->flags & CONNECTION_INACTIVE;
            CHECK(!(is_template && is_inactive));
            templates += is_template;
            inactive += is_inactive;
            active += !is_template && !is_inactive;
        }
        CHECK(server->references == active + inactive + templates);
        CHECK(server->use != SLOT_FREE || server->references == 0);
        if (server->use == SLOT_FREE)
            continue;
        CHECK(server->active == active && server->inactive == inactive);
        CHECK(server->persistent == templates);
        CHECK(!server->overloaded || server->config.upper != 0);
        CHECK(server->config.drain == DR_DRAIN_NONE || server->config.weight == 0);
    }
}

static inline uint32_t check_list(const struct table *table, uint32_t head, enum slot_use use,
                                  uint32_t service)
{
    uint32_t previous = NO_SLOT;
    uint32_t count = 0;

    for (uint32_t slot = head; slot != NO_SLOT; slot = table->servers[slot].next) {
        CHECK(slot < table->server_room);
        CHECK(table->servers[slot].use == use && table->servers[slot].service == service);
        CHECK(table->servers[slot].previous == previous);
        CHECK(++count <= table->server_room);
        previous = slot;
    }
    return count;
}

static inline void check_lists(const struct table *table)
{
    uint32_t listed = 0;
    uint32_t used = 0;

    for (uint32_t slot = 0; slot < table->service_room; slot++) {
        const struct service *service = &table->services[slot];
        if (service->use == SLOT_FREE)
            continue;
        uint32_t count = check_list(table, service->head, SLOT_LISTED, slot);
        CHECK(service->use == SLOT_LISTED ? count == service->servers : count == 0);
        listed += count + check_list(table, service->trash, SLOT_REMOVED, slot);
    }
    for (uint32_t slot = 0; slot < table->server_room; slot++)
        used += table->servers[slot].use != SLOT_FREE && table->servers[slot].use != SLOT_FOREIGN;
    CHECK(listed == used);
}

/* After the timers of `tick` have fired, nothing is left that should be gone. */
static inline void check_timers(const struct connections *connections, uint32_t tick)
{
    for (uint32_t index = 1; index < connections->book->fresh; index++)
        if (is_live(connections, index))
            CHECK((int32_t)(connections->entries[index].expires + LATE_TICKS - tick) > 0);
}

static inline void check_all(const struct connections *connections, const struct table *table)
{
    check_entries(connections);
    check_links(connections);
    check_templates(connections);
    check_unproved(connections);
    check_servers(connections, table);
    check_lists(table);
}

#endif
