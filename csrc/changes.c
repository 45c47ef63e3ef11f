/* changes.c -- services and servers come, change and go. */
#include "changes.h"

#include <errno.h>
#include <string.h>

#include "schedulers/schedulers.h"

/* ---- Thresholds ---- */

static void update_overload_after_release(struct server *server)
{
    uint64_t count = (uint64_t)server->active + server->inactive;

    if (server->config.lower != 0)
        server->overloaded &= !(count < server->config.lower);
    else if (server->config.upper != 0)
        server->overloaded &= !(count * 4 < (uint64_t)server->config.upper * 3);
    else
        server->overloaded = 0;
}

void server_taken(struct server *server, bool is_template)
{
    server->references++;
    if (is_template)
        server->persistent++;
    else
        server->inactive++;
    /* Templates do not count, but the kernel looks at the count when one comes, too. */
    if (server->config.upper != 0 && server->active + server->inactive >= server->config.upper)
        server->overloaded = 1;
}

void server_released(struct server *server, bool is_template, uint32_t now_s)
{
    server->references--;
    server->idle_since_s = now_s;
    if (is_template)
        server->persistent--;
    update_overload_after_release(server);
}

/* ---- A service's lists ---- */

static uint32_t slot_of(const struct table *table, const struct server *server)
{
    return (uint32_t)(server - table->servers);
}

static void list_push(struct table *table, uint32_t *head, uint32_t slot)
{
    struct server *server = &table->servers[slot];

    server->previous = NO_SLOT;
    server->next = *head;
    if (*head != NO_SLOT)
        table->servers[*head].previous = slot;
    *head = slot;
}

/* Leaves the server's own links as they were: schedulers ask a deleted server's predecessor. */
static void list_unlink(struct table *table, uint32_t *head, uint32_t slot)
{
    struct server *server = &table->servers[slot];

    if (server->previous != NO_SLOT)
        table->servers[server->previous].next = server->next;
    else
        *head = server->next;
    if (server->next != NO_SLOT)
        table->servers[server->next].previous = server->previous;
}

static struct server *list_find(const struct table *table, uint32_t head,
                                const struct dr_server *config)
{
    for (uint32_t slot = head; slot != NO_SLOT; slot = table->servers[slot].next) {
        struct server *server = &table->servers[slot];
        if (server->config.port == config->port &&
            memcmp(server->config.address, config->address, ADDRESS) == 0)
            return server;
    }
    return NULL;
}

struct server *server_find(const struct table *table, const struct service *service,
                           const uint8_t address[ADDRESS], uint16_t port)
{
    struct dr_server config = {.port = port};

    memcpy(config.address, address, ADDRESS);
    return list_find(table, service->head, &config);
}

static bool is_forgotten(const struct server *server, uint32_t now_s)
{
    return server->references == 0 && now_s - server->idle_since_s >= REMOVED_IDLE_S;
}

static void free_forgotten(struct table *table, uint32_t now_s)
{
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        struct server *server = &table->servers[slot];
        if (server->use != SLOT_REMOVED || !is_forgotten(server, now_s))
            continue;
        list_unlink(table, &table->services[server->service].trash, slot);
        server->use = SLOT_FREE;
    }
    for (uint32_t slot = 0; slot < table->service_room; slot++) {
        struct service *service = &table->services[slot];
        if (service->use == SLOT_REMOVED && service->trash == NO_SLOT)
            service->use = SLOT_FREE;
    }
    table->service_hint = 0;
}

/* Goes on where the last one was found, so that filling a large table takes no long search. */
static struct server *free_server(struct table *table)
{
    for (uint32_t i = 0; i < table->server_room; i++) {
        uint32_t slot = table->server_hint;
        table->server_hint = slot + 1 < table->server_room ? slot + 1 : 0;
        if (table->servers[slot].use != SLOT_FREE)
            continue;
        if (table->server_top <= slot)
            table->server_top = slot + 1;
        return &table->servers[slot];
    }
    return NULL;
}

static struct service *free_service(struct table *table)
{
    for (uint32_t slot = table->service_hint; slot < table->service_room; slot++) {
        if (table->services[slot].use != SLOT_FREE)
            continue;
        table->service_hint = slot + 1;
        if (table->service_top <= slot)
            table->service_top = slot + 1;
        return &table->services[slot];
    }
    return NULL;
}

/* ---- Changes ---- */

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
        service = free_service(table);
        if (!service) {
            free_forgotten(table, seconds(now_ns));
            service = free_service(table);
        }
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
    list_push(table, &service->trash, slot);
}

static void remove_server(struct table *table, struct service *service, struct server *server,
                          uint32_t now_s)
{
    list_unlink(table, &service->head, slot_of(table, server));
    service->servers--;
    scheduler_of(service->config.scheduler)->removed(table, service, server);
    move_to_trash(table, service, server, now_s);
}

/* As in the kernel, the scheduler is gone first and hears nothing of each server. */
static int delete_service(struct table *table, struct service *service, uint32_t now_s)
{
    while (service->head != NO_SLOT) {
        struct server *server = &table->servers[service->head];
        list_unlink(table, &service->head, service->head);
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
    struct server *server = list_find(table, service->trash, config);

    if (!server)
        return NULL;
    list_unlink(table, &service->trash, slot_of(table, server));
    if (is_forgotten(server, now_s))
        memset(server, 0, sizeof(*server));
    return server;
}

struct server *server_new(struct table *table, uint32_t now_s)
{
    struct server *server = free_server(table);

    if (!server) {
        free_forgotten(table, now_s);
        server = free_server(table);
    }
    if (server)
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

    if (list_find(table, service->head, config))
        return -EEXIST;
    uint32_t most = scheduler_of(service->config.scheduler)->most_servers;
    if (most && service->servers >= most)
        return -EINVAL;

    struct server *server = take_back(table, service, config, seconds(now_ns));
    if (!server && !is_unicast(config->address))
        return -EINVAL;
    if (!server)
        server = server_new(table, seconds(now_ns));
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
    list_push(table, &service->head, slot_of(table, server));
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

    struct server *server = list_find(table, service->head, config);
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
