/* changes.c -- services and servers come, change and go. */
#include "changes.h"

#include <errno.h>
#include <string.h>

#include "schedulers/schedulers.h"
#include "slots.h"

static uint32_t seconds(uint64_t now_ns)
{
    return seconds_of(tick_of(now_ns));
}

static struct service *removed_service(const struct table *table, const struct dr_service *config)
{
    for (uint32_t slot = 0; slot < table->service_top; slot++) {
        struct service *service = &table->services[slot];
        if (service->use == SLOT_REMOVED &&
            service_is(service, config->protocol, config->address, config->port))
            return service;
    }
    return NULL;
}

static int add_service(struct table *table, const struct dr_service *config, uint64_t now_ns)
{
    if (table_find_service(table, config->protocol, config->address, config->port))
        return -EEXIST;
    if (!scheduler_of(config->scheduler))
        return -ENOENT;
    bool is_mark = config->protocol == PROTOCOL_ANY;
    if (config->port == 0 && !is_mark && !(config->flags & DR_PERSISTENT))
        return -EINVAL;

    struct service *service = removed_service(table, config);
    if (!service) {
        service = slot_for_service(table, seconds(now_ns));
        if (!service)
            return -ENOSPC;
        service->trash = NO_SLOT;
    }
    service->config = *config;
    service->head = NO_SLOT;
    service->servers = 0;
    service->estimator = (struct estimator){0};
    service->in = (struct dr_counters){0};
    estimator_begin(&service->estimator, &service->in, now_ns);
    /* A server that is taken back by another service object begins its statistics anew. */
    for (uint32_t slot = service->trash; slot != NO_SLOT; slot = table->servers[slot].next)
        estimator_zero(&table->servers[slot].estimator, &table->servers[slot].in);
    if (scheduler_attach(table, service, config->scheduler) < 0)
        return -ENOMEM;
    service->use = SLOT_LISTED;
    scheduler_of(config->scheduler)->start(table, service);
    table_index(table, service);
    return 0;
}

static int edit_service(struct table *table, struct service *service,
                        const struct dr_service *config)
{
    if (!scheduler_of(config->scheduler))
        return -ENOENT;
    bool other = config->scheduler != service->config.scheduler;
    if (other && scheduler_of(config->scheduler)->most_servers &&
        service->servers > scheduler_of(config->scheduler)->most_servers)
        return -EINVAL;
    if (other && scheduler_attach(table, service, config->scheduler) < 0)
        return -ENOMEM;
    service->config = *config;
    if (other)
        scheduler_of(config->scheduler)->start(table, service);
    return 0;
}

static void move_to_trash(struct table *table, struct service *service, struct server *server,
                          uint32_t now_s)
{
    uint32_t slot = slot_of(table, server);

    server->use = SLOT_REMOVED;
    if (server->references == 0)
        server->idle_since_s = now_s;
    slot_push(table, &service->trash, slot);
}

static void remove_server(struct table *table, struct service *service, struct server *server,
                          uint32_t now_s)
{
    slot_unlink(table, &service->head, slot_of(table, server));
    service->servers--;
    scheduler_of(service->config.scheduler)->removed(table, service, server);
    move_to_trash(table, service, server, now_s);
}

/* As in the kernel, the scheduler is gone first and hears nothing of each server. */
static int delete_service(struct table *table, struct service *service, uint32_t now_s)
{
    while (service->head != NO_SLOT) {
        struct server *server = &table->servers[service->head];
        slot_unlink(table, &service->head, service->head);
        move_to_trash(table, service, server, now_s);
    }
    service->servers = 0;
    service->use = SLOT_REMOVED;
    scheduler_detach(table, service);
    table_reindex(table);
    return 0;
}

static void configure_server(struct server *server, const struct dr_server *config)
{
    if (config->upper == 0 || config->upper > server->config.upper)
        server->overloaded = 0;
    server->config = *config;
    if (config->drain != DR_DRAIN_NONE)
        server->config.weight = 0;
    if (server->config.weight > 0)
        server->last_weight = server->config.weight;
}

static struct server *take_back(struct table *table, struct service *service,
                                const struct dr_server *config, uint32_t now_s)
{
    struct server *server = slot_find(table, service->trash, config);

    if (!server)
        return NULL;
    slot_unlink(table, &service->trash, slot_of(table, server));
    if (slot_is_forgotten(server, now_s))
        memset(server, 0, sizeof(*server));
    return server;
}

/* What a host can have for itself: kernel IPVS asks its routes (0/8, multicast, broadcast) and for
 * IPv6 the address alone (RFC 4291 section 2.4), where link-local ones would need an interface. */
static bool is_unicast(const uint8_t address[ADDRESS])
{
    static const uint8_t unspecified[ADDRESS] = {0};
    static const uint8_t broadcast[4] = {0xff, 0xff, 0xff, 0xff};
    const uint8_t *ipv4 = address + ADDRESS - 4;

    if (is_ipv4(address))
        return ipv4[0] != 0 && ipv4[0] >> 4 != 0xe && memcmp(ipv4, broadcast, 4) != 0;
    bool is_link_local = address[0] == 0xfe && address[1] >> 6 == 2;
    return address[0] != 0xff && !is_link_local && memcmp(address, unspecified, ADDRESS) != 0;
}

static int add_server(struct table *table, struct service *service, const struct dr_change *change,
                      uint64_t now_ns)
{
    const struct dr_server *config = &change->server;

    if (slot_find(table, service->head, config))
        return -EEXIST;
    uint32_t most = scheduler_of(service->config.scheduler)->most_servers;
    if (most && service->servers >= most)
        return -EINVAL;

    struct server *server = take_back(table, service, config, seconds(now_ns));
    if (!server && !is_unicast(config->address))
        return -EINVAL;
    if (!server)
        server = slot_for_server(table, seconds(now_ns));
    if (!server)
        return -ENOSPC;
    server->use = SLOT_LISTED;
    server->service = (uint32_t)(service - table->services);
    server->last_weight = config->weight;
    if (mac_is_known(change->mac)) {
        memcpy(server->mac, change->mac, MAC);
        server->mtu = change->mtu;
    }
    server->began_s = seconds(now_ns);
    configure_server(server, config);
    estimator_begin(&server->estimator, &server->in, now_ns);
    slot_push(table, &service->head, slot_of(table, server));
    service->servers++;
    scheduler_of(service->config.scheduler)->added(table, service, server);
    return 0;
}

static void edit_server(struct table *table, struct service *service, struct server *server,
                        const struct dr_server *config, uint32_t now_s)
{
    if (server->config.weight == 0)
        server->began_s = now_s;
    configure_server(server, config);
    scheduler_of(service->config.scheduler)->edited(table, service, server);
}

static int set_mac(struct table *table, const struct dr_change *change)
{
    const uint8_t *address = change->server.address;

    for (uint32_t slot = 0; slot < table->server_top; slot++) {
        struct server *server = &table->servers[slot];
        if (server->use == SLOT_FREE || memcmp(server->config.address, address, ADDRESS) != 0)
            continue;
        memcpy(server->mac, change->mac, MAC);
        server->mtu = change->mtu;
    }
    return 0;
}

static int zero_service(struct table *table, struct service *service)
{
    estimator_zero(&service->estimator, &service->in);
    for (uint32_t slot = service->head; slot != NO_SLOT; slot = table->servers[slot].next)
        estimator_zero(&table->servers[slot].estimator, &table->servers[slot].in);
    return 0;
}

static int for_each_service(struct table *table, uint32_t now_s, enum dr_operation operation)
{
    for (uint32_t slot = 0; slot < table->service_room; slot++) {
        struct service *service = &table->services[slot];
        if (service->use != SLOT_LISTED)
            continue;
        if (operation == DR_CLEAR)
            delete_service(table, service, now_s);
        else
            zero_service(table, service);
    }
    if (operation == DR_ZERO_ALL)
        estimator_zero(&table->totals->estimator, &table->totals->in);
    return 0;
}

/* As in the kernel, thresholds are looked at before the server is looked for. */
static int change_server(struct table *table, struct service *service,
                         const struct dr_change *change, uint64_t now_ns)
{
    const struct dr_server *config = &change->server;
    bool configures = change->operation == DR_ADD_SERVER || change->operation == DR_EDIT_SERVER;

    if (configures && config->lower > config->upper)
        return -ERANGE;
    if (configures && config->drain > DR_DRAIN_REHASH)
        return -EINVAL;
    if (change->operation == DR_ADD_SERVER)
        return add_server(table, service, change, now_ns);

    struct server *server = slot_find(table, service->head, config);
    if (!server)
        return -ENOENT;
    if (change->operation == DR_EDIT_SERVER)
        edit_server(table, service, server, config, seconds(now_ns));
    else if (change->operation == DR_DELETE_SERVER)
        remove_server(table, service, server, seconds(now_ns));
    else
        return -EINVAL;
    return 0;
}

int table_change(struct table *table, const struct dr_change *change, uint64_t now_ns)
{
    uint32_t now_s = seconds(now_ns);
    const struct dr_service *name = &change->service;

    if (change->operation == DR_SET_MAC)
        return set_mac(table, change);
    if (change->operation == DR_ADD_SERVICE)
        return add_service(table, name, now_ns);
    if (change->operation == DR_CLEAR || change->operation == DR_ZERO_ALL)
        return for_each_service(table, now_s, change->operation);

    struct service *service = table_find_service(table, name->protocol, name->address, name->port);
    if (!service)
        return -ESRCH;
    if (change->operation == DR_EDIT_SERVICE)
        return edit_service(table, service, name);
    if (change->operation == DR_DELETE_SERVICE)
        return delete_service(table, service, now_s);
    if (change->operation == DR_ZERO_SERVICE)
        return zero_service(table, service);
    return change_server(table, service, change, now_ns);
}
