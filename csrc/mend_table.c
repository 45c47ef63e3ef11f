/* mend_table.c -- services and servers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mend.h"
#include "schedulers/schedulers.h"
#include "slots.h"

enum {
    UNSEEN = 0x10000,      /* no slot: a server that no list has led to yet */
    HEAVIEST = 0x7fffffff, /* that a weight or a threshold can be set to */
    KNOWN_FLAGS = DR_PERSISTENT | DR_ONE_PACKET | DR_SCHEDULER_1 | DR_SCHEDULER_2 | DR_SCHEDULER_3,
    USUAL_PERSISTENT_S = 360,
};

/* ---- Names that occur twice ---- */

/* Open addressing by name; a slot's second of the same name is told at once. */
struct names {
    const struct table *table;
    bool (*is_same)(const struct table *table, uint32_t slot, uint32_t other);
    uint16_t *slots;
    uint32_t mask;
};

static uint32_t hash_name(const uint8_t address[ADDRESS], uint64_t rest)
{
    uint64_t halves[2];

    memcpy(halves, address, ADDRESS);
    uint64_t hash =
        halves[0] * 0x9e3779b97f4a7c15 ^ halves[1] * 0xc2b2ae3d27d4eb4f ^ rest * 0x165667b19e3779f9;
    return (uint32_t)(hash >> 32 ^ hash);
}

static bool is_taken(struct names *names, uint32_t hash, uint32_t slot)
{
    for (;; hash++) {
        uint16_t *there = &names->slots[hash & names->mask];
        if (*there == NO_SLOT) {
            *there = (uint16_t)slot;
            return false;
        }
        if (names->is_same(names->table, slot, *there))
            return true;
    }
}

static bool is_same_service(const struct table *table, uint32_t slot, uint32_t other)
{
    const struct dr_service *config = &table->services[other].config;

    return service_is(&table->services[slot], config->protocol, config->address, config->port);
}

static bool is_same_server(const struct table *table, uint32_t slot, uint32_t other)
{
    const struct server *one = &table->servers[slot], *two = &table->servers[other];

    return one->service == two->service && one->config.port == two->config.port &&
           is_same_address(one->config.address, two->config.address);
}

/* ---- Services ---- */

static bool is_possible(const struct dr_service *config)
{
    bool is_mark = config->protocol == PROTOCOL_ANY;
    bool is_known = is_mark || config->protocol == PROTOCOL_TCP ||
                    config->protocol == PROTOCOL_UDP || config->protocol == PROTOCOL_SCTP;

    if (!is_known || !scheduler_of(config->scheduler))
        return false;
    return is_mark ? config->port == 0 : config->port != 0 || config->flags & DR_PERSISTENT;
}

/* False: it contradicted something. */
static bool mend_service(struct names *names, struct service *service, uint32_t slot,
                         uint64_t now_ns)
{
    struct dr_service *config = &service->config;
    uint8_t use = service->use;

    if (use == SLOT_FREE)
        return true;
    if (use != SLOT_LISTED)
        service->use = SLOT_REMOVED;
    uint64_t rest = (uint64_t)config->protocol << 16 | config->port;
    if (use == SLOT_LISTED &&
        (!is_possible(config) || is_taken(names, hash_name(config->address, rest), slot)))
        service->use = SLOT_REMOVED;
    config->flags &= KNOWN_FLAGS;
    if (config->flags & DR_PERSISTENT && config->persistent_s == 0)
        config->persistent_s = USUAL_PERSISTENT_S;
    estimator_mend(&service->estimator, &service->in, now_ns);
    return use == service->use;
}

/* ---- Servers ---- */

/* A service that nothing else knows of any more is one that was removed. */
static uint8_t use_of(const struct table *table, const struct server *server)
{
    if (server->use == SLOT_FOREIGN)
        return SLOT_FOREIGN;
    bool is_kept = server->use == SLOT_LISTED || server->use == SLOT_REMOVED;
    if (!is_kept || server->service >= table->service_room)
        return SLOT_FREE;
    struct service *service = &table->services[server->service];
    if (service->use == SLOT_FREE)
        service->use = SLOT_REMOVED;
    return service->use == SLOT_LISTED ? server->use : SLOT_REMOVED;
}

static void mend_config(struct dr_server *config)
{
    if (config->drain > DR_DRAIN_REHASH)
        config->drain = DR_DRAIN_NONE;
    if (config->drain != DR_DRAIN_NONE || config->weight > HEAVIEST)
        config->weight = 0;
    if (config->upper > HEAVIEST || config->lower > config->upper)
        config->upper = config->lower = 0;
}

/* False: it contradicted something. Its list is still to lead to it. */
static bool mend_server(struct table *table, struct names *names, struct server *server,
                        uint32_t slot, uint64_t now_ns)
{
    uint8_t use = server->use;

    if (use == SLOT_FREE)
        return true;
    server->use = use_of(table, server);
    if (server->use == SLOT_FREE) {
        memset(server, 0, sizeof(*server));
        return false;
    }
    uint64_t rest = (uint64_t)server->service << 16 | server->config.port;
    if (server->use == SLOT_LISTED &&
        is_taken(names, hash_name(server->config.address, rest), slot))
        server->use = SLOT_REMOVED;
    mend_config(&server->config);
    if (server->config.weight > 0 || server->last_weight > HEAVIEST)
        server->last_weight = server->config.weight;
    if (server->mac[0] & 1) /* of a group: no host's */
        memset(server->mac, 0, MAC);
    server->overloaded = !!server->overloaded;
    if (server->use == SLOT_FOREIGN)
        server->service = NO_SLOT;
    server->previous = UNSEEN;
    estimator_mend(&server->estimator, &server->in, now_ns);
    return use == server->use;
}

/* ---- Lists ---- */

/* Follows a list as far as it leads to what belongs there; returns how many that are. */
static uint32_t mend_list(struct table *table, uint32_t *head, enum slot_use use, uint32_t service)
{
    uint32_t *link = head;
    uint32_t previous = NO_SLOT;
    uint32_t count = 0;

    while (*link < table->server_room) {
        struct server *server = &table->servers[*link];
        if (server->use != use || server->service != service || server->previous != UNSEEN)
            break;
        server->previous = previous;
        previous = *link;
        link = &server->next;
        count++;
    }
    *link = NO_SLOT;
    return count;
}

static void mend_lists(struct table *table)
{
    for (uint32_t slot = 0; slot < table->service_room; slot++) {
        struct service *service = &table->services[slot];
        if (service->use == SLOT_FREE)
            continue;
        service->servers = mend_list(table, &service->head, SLOT_LISTED, slot);
        mend_list(table, &service->trash, SLOT_REMOVED, slot);
    }
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        struct server *server = &table->servers[slot];
        if (server->use == SLOT_FREE || server->previous != UNSEEN)
            continue;
        server->previous = NO_SLOT;
        if (server->use == SLOT_FOREIGN)
            continue;
        struct service *service = &table->services[server->service];
        bool is_listed = server->use == SLOT_LISTED;
        slot_push(table, is_listed ? &service->head : &service->trash, slot);
        service->servers += is_listed;
    }
}

static void retire(struct table *table, struct service *service)
{
    while (service->head != NO_SLOT) {
        uint32_t slot = service->head;
        slot_unlink(table, &service->head, slot);
        table->servers[slot].use = SLOT_REMOVED;
        slot_push(table, &service->trash, slot);
    }
    service->servers = 0;
    service->use = SLOT_REMOVED;
}

/* What depends on the whole list. False: the service could not be as it was. */
static bool mend_schedule(struct table *table, struct service *service, uint32_t slot)
{
    uint32_t at = service->cursor.at;

    if (service->use != SLOT_LISTED)
        return true;
    uint32_t most = scheduler_of(service->config.scheduler)->most_servers;
    if (most && service->servers > most) {
        retire(table, service);
        return false;
    }
    if (at >= table->server_room || table->servers[at].use != SLOT_LISTED ||
        table->servers[at].service != slot)
        service->cursor.at = NO_SLOT;
    return true;
}

int mend_table(struct table *table, uint64_t now_ns)
{
    uint32_t most =
        table->service_room > table->server_room ? table->service_room : table->server_room;
    struct names names = {.table = table, .is_same = is_same_service, .mask = 15};
    int wrong = 0;

    while (names.mask < 2 * most)
        names.mask = names.mask * 2 + 1;
    size_t bytes = ((size_t)names.mask + 1) * sizeof(*names.slots);
    names.slots = malloc(bytes);
    if (!names.slots)
        return -ENOMEM;
    memset(names.slots, 0xff, bytes);
    for (uint32_t slot = 0; slot < table->service_room; slot++)
        wrong += !mend_service(&names, &table->services[slot], slot, now_ns);
    memset(names.slots, 0xff, bytes);
    names.is_same = is_same_server;
    for (uint32_t slot = 0; slot < table->server_room; slot++)
        wrong += !mend_server(table, &names, &table->servers[slot], slot, now_ns);
    free(names.slots);
    mend_lists(table);
    for (uint32_t slot = 0; slot < table->service_room; slot++)
        wrong += !mend_schedule(table, &table->services[slot], slot);
    estimator_mend(&table->totals->estimator, &table->totals->in, now_ns);
    return wrong;
}
