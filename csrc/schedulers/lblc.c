/* lblc.c -- locality-based least connections: a destination stays with its server as long as that
 * one is there and not overfull; otherwise, and at first, wlc picks. Made for caches.
 *
 * The destination is the VIP, so this is of use only to a service on many addresses. */
#include "locality.h"
#include "schedulers.h"

static void attach(struct table *table, struct service *service)
{
    locality_init(scheduler_memory(table, service));
}

/* The server's threshold is not asked for, in the kernel neither. */
static struct server *remembered(const struct locality *locality, const struct table *table,
                                 const struct service *service, const struct locality_entry *entry)
{
    if (entry->members == 0)
        return NULL;
    struct server *server = locality_server(table, service, &locality->members[entry->first]);
    if (!server || server->use != SLOT_LISTED || server->config.weight == 0)
        return NULL;
    return locality_is_overfull(table, service, server) ? NULL : server;
}

static void remember(struct locality *locality, const struct table *table,
                     struct locality_entry *entry, const struct server *server, uint32_t now_s)
{
    while (entry->members > 0)
        locality_erase(locality, entry, entry->first, now_s);
    locality_insert(locality, entry, table, server, now_s);
}

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    struct locality *locality = scheduler_memory(table, service);

    locality_expire(locality, table->lblc_expiration_s, now_s);
    struct locality_entry *entry = locality_find(locality, flow->address);
    if (entry) {
        entry->used_s = now_s;
        struct server *server = remembered(locality, table, service, entry);
        if (server)
            return server;
    }
    struct server *server = scheduler_wlc.pick(table, service, flow, now_s);
    if (!server)
        return NULL;
    if (!entry)
        entry = locality_add(locality, flow->address, now_s);
    if (entry)
        remember(locality, table, entry, server, now_s);
    return server;
}

const struct scheduler scheduler_lblc = {
    .name = "lblc",
    .memory_bytes = sizeof(struct locality),
    .attach = attach,
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
