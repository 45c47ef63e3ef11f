/* locality.c -- destinations in a hash of fixed size, a set of servers for each, and their end. */
#include "locality.h"

#include <string.h>

#include "hash.h"
#include "schedulers.h"

enum {
    NONE = 0,
    SWEEP_EVERY_S = 60,
    FULL_SWEEP_EVERY = 30,         /* sweeps; the others only make room */
    ROOMY = LOCALITY_MOST * 2 / 3, /* up to so many destinations there is no need for room */
    MOST_DROPPED = ROOMY / 2,
    UNUSED_S = 6 * 60, /* who may go when room is needed */
};

_Static_assert(ROOMY == 16384, "the kernel's number");

void locality_init(struct locality *locality)
{
    locality->fresh_entry = 1;
    locality->fresh_member = 1;
    locality->sweeps = 1;
}

/* ---- Sets of servers ---- */

static bool is_same(const struct locality_member *member, const struct server *server)
{
    return member->port == server->config.port &&
           memcmp(member->address, server->config.address, ADDRESS) == 0;
}

struct server *locality_server(const struct table *table, const struct service *service,
                               const struct locality_member *member)
{
    struct server *server = &table->servers[member->server];
    uint32_t number = (uint32_t)(service - table->services);

    if (server->use == SLOT_FREE || server->service != number || !is_same(member, server))
        return NULL;
    return server;
}

static uint32_t take_member(struct locality *locality)
{
    uint32_t index = locality->free_member;

    if (index != NONE)
        locality->free_member = locality->members[index].next;
    else if (locality->fresh_member <= LOCALITY_MEMBERS)
        index = locality->fresh_member++;
    return index;
}

void locality_insert(struct locality *locality, struct locality_entry *entry,
                     const struct table *table, const struct server *server, uint32_t now_s)
{
    const uint16_t slot = (uint16_t)(server - table->servers);

    for (uint32_t index = entry->first; index != NONE; index = locality->members[index].next)
        if (is_same(&locality->members[index], server)) {
            locality->members[index].server = slot; /* it may have come back in another one */
            return;
        }

    uint32_t index = take_member(locality);
    if (index == NONE)
        return;
    struct locality_member *member = &locality->members[index];
    memcpy(member->address, server->config.address, ADDRESS);
    member->port = server->config.port;
    member->server = slot;
    member->next = entry->first;
    entry->first = index;
    entry->members++;
    entry->changed_s = now_s;
}

void locality_erase(struct locality *locality, struct locality_entry *entry, uint32_t member,
                    uint32_t now_s)
{
    uint32_t *link = &entry->first;

    while (*link != member)
        link = &locality->members[*link].next;
    *link = locality->members[member].next;
    locality->members[member].next = locality->free_member;
    locality->free_member = member;
    entry->members--;
    entry->changed_s = now_s;
}

bool locality_is_overfull(const struct table *table, const struct service *service,
                          const struct server *server)
{
    if (server->active <= server->config.weight)
        return false;
    for (struct server *other = scheduler_first(table, service); other;
         other = scheduler_next(table, other))
        if ((uint64_t)other->active * 2 < other->config.weight)
            return true;
    return false;
}

/* ---- Destinations ---- */

static uint32_t *bucket_of(struct locality *locality, const uint8_t address[ADDRESS])
{
    return &locality->buckets[hash_multiply(hash_fold(address), LOCALITY_BITS)];
}

struct locality_entry *locality_find(struct locality *locality, const uint8_t address[ADDRESS])
{
    for (uint32_t index = *bucket_of(locality, address); index != NONE;
         index = locality->entries[index].next)
        if (memcmp(locality->entries[index].address, address, ADDRESS) == 0)
            return &locality->entries[index];
    return NULL;
}

struct locality_entry *locality_add(struct locality *locality, const uint8_t address[ADDRESS],
                                    uint32_t now_s)
{
    uint32_t index = locality->free_entry;

    if (index != NONE)
        locality->free_entry = locality->entries[index].next;
    else if (locality->fresh_entry <= LOCALITY_MOST)
        index = locality->fresh_entry++;
    else
        return NULL;

    struct locality_entry *entry = &locality->entries[index];
    uint32_t *bucket = bucket_of(locality, address);
    *entry = (struct locality_entry){.next = *bucket, .used_s = now_s};
    memcpy(entry->address, address, ADDRESS);
    *bucket = index;
    locality->count++;
    return entry;
}

/* Takes the entry that `link` leads to out of its bucket. */
static void drop(struct locality *locality, uint32_t *link, uint32_t now_s)
{
    uint32_t index = *link;
    struct locality_entry *entry = &locality->entries[index];

    while (entry->first != NONE)
        locality_erase(locality, entry, entry->first, now_s);
    *link = entry->next;
    entry->next = locality->free_entry;
    locality->free_entry = index;
    locality->count--;
}

/* ---- Their end ---- */

/* Drops who was not used for so long, `goal` of them or a few more: a bucket begun is finished. */
static void sweep(struct locality *locality, uint32_t unused_s, uint32_t goal, uint32_t now_s)
{
    uint32_t until = locality->count > goal ? locality->count - goal : 0;

    for (uint32_t i = 0; i < LOCALITY_BUCKETS; i++) {
        locality->rover = (locality->rover + 1) % LOCALITY_BUCKETS;
        uint32_t *link = &locality->buckets[locality->rover];
        while (*link != NONE) {
            struct locality_entry *entry = &locality->entries[*link];
            if (seconds_between(entry->used_s, now_s) >= unused_s)
                drop(locality, link, now_s);
            else
                link = &entry->next;
        }
        if (locality->count <= until)
            return;
    }
}

/* A sweep for room does not count, so under pressure the full one comes later: as in the kernel. */
static void sweep_on_time(struct locality *locality, uint32_t expiration_s, uint32_t now_s)
{
    if (locality->sweeps == FULL_SWEEP_EVERY) {
        sweep(locality, expiration_s, UINT32_MAX, now_s);
        locality->sweeps = 1;
    } else if (locality->count <= ROOMY) {
        locality->sweeps++;
    } else {
        uint32_t goal = (locality->count - ROOMY) * 4 / 3;
        sweep(locality, UNUSED_S, goal < MOST_DROPPED ? goal : MOST_DROPPED, now_s);
    }
}

/* Between two picks nothing but the timer touches the destinations, so its work can wait for the
 * next pick. Full sweeps of nothing go round in FULL_SWEEP_EVERY steps, which are skipped. */
void locality_expire(struct locality *locality, uint32_t expiration_s, uint32_t now_s)
{
    bool began_anew = now_s < locality->swept_s; /* as ticks do, after 834 days */
    if (!locality->is_sweeping || began_anew) {
        locality->is_sweeping = true;
        locality->swept_s = now_s;
    }
    uint32_t due = (now_s - locality->swept_s) / SWEEP_EVERY_S;
    while (due > 0) {
        if (locality->count == 0) {
            locality->swept_s += due / FULL_SWEEP_EVERY * FULL_SWEEP_EVERY * SWEEP_EVERY_S;
            due %= FULL_SWEEP_EVERY;
        }
        if (due > 0) {
            locality->swept_s += SWEEP_EVERY_S;
            sweep_on_time(locality, expiration_s, locality->swept_s);
            due--;
        }
    }
}
