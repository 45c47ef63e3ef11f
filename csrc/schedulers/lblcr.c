/* lblcr.c -- locality-based least connections with replication: a destination has a set of servers
 * and goes to the least loaded of them; when that one is overfull wlc picks and the set grows. One
 * that has not changed for long loses its most loaded server.
 *
 * The destination is the VIP, so this is of use only to a service on many addresses. */
#include "locality.h"
#include "schedulers.h"

static void attach(struct table *table, struct service *service)
{
    locality_init(scheduler_memory(table, service));
}

static struct server *least_loaded(const struct locality *locality, const struct table *table,
                                   const struct service *service,
                                   const struct locality_entry *entry, uint32_t now_s)
{
    struct server *least = NULL;

    for (uint32_t index = entry->first; index; index = locality->members[index].next) {
        struct server *server = locality_server(table, service, &locality->members[index]);
        if (!server || server->use != SLOT_LISTED || !server_is_eligible(server))
            continue;
        if (!least || scheduler_is_less_loaded(service, server, least, now_s))
            least = server;
    }
    return least;
}

/* A member, or 0. Servers at their threshold count here, and so do removed ones. */
static uint32_t most_loaded(const struct locality *locality, const struct table *table,
                            const struct service *service, const struct locality_entry *entry,
                            uint32_t now_s)
{
    const struct server *most = NULL;
    uint32_t found = 0;

    for (uint32_t index = entry->first; index; index = locality->members[index].next) {
        struct server *server = locality_server(table, service, &locality->members[index]);
        if (!server || server->config.weight == 0)
            continue;
        if (!most || scheduler_is_less_loaded(service, most, server, now_s)) {
            most = server;
            found = index;
        }
    }
    return found;
}

static void shrink(struct locality *locality, const struct table *table,
                   const struct service *service, struct locality_entry *entry, uint32_t now_s)
{
    if (entry->members <= 1 ||
        seconds_between(entry->changed_s, now_s) <= table->lblcr_expiration_s)
        return;
    uint32_t member = most_loaded(locality, table, service, entry, now_s);
    if (member)
        locality_erase(locality, entry, member, now_s);
}

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    struct locality *locality = scheduler_memory(table, service);

    locality_expire(locality, table->lblcr_expiration_s, now_s);
    struct locality_entry *entry = locality_find(locality, flow->address);
    if (entry) {
        entry->used_s = now_s;
        struct server *server = least_loaded(locality, table, service, entry, now_s);
        shrink(locality, table, service, entry, now_s);
        if (server && !locality_is_overfull(table, service, server))
            return server;
    }
    struct server *server = scheduler_wlc.pick(table, service, flow, now_s);
    if (!server)
        return NULL;
    if (!entry)
        entry = locality_add(locality, flow->address, now_s);
    if (entry)
        locality_insert(locality, entry, table, server, now_s);
    return server;
}

const struct scheduler scheduler_lblcr = {
    .name = "lblcr",
    .memory_bytes = sizeof(struct locality),
    .attach = attach,
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
