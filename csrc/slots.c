/* slots.c -- a removed server keeps its slot for a while, and so does its service. */
#include "slots.h"

#include <string.h>

/* ---- Lists ---- */

uint32_t slot_of(const struct table *table, const struct server *server)
{
    return (uint32_t)(server - table->servers);
}

void slot_push(struct table *table, uint32_t *head, uint32_t slot)
{
    struct server *server = &table->servers[slot];

    server->previous = NO_SLOT;
    server->next = *head;
    if (*head != NO_SLOT)
        table->servers[*head].previous = slot;
    *head = slot;
}

void slot_unlink(struct table *table, uint32_t *head, uint32_t slot)
{
    struct server *server = &table->servers[slot];

    if (server->previous != NO_SLOT)
        table->servers[server->previous].next = server->next;
    else
        *head = server->next;
    if (server->next != NO_SLOT)
        table->servers[server->next].previous = server->previous;
}

struct server *slot_find(const struct table *table, uint32_t head, const struct dr_server *config)
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
    return slot_find(table, service->head, &config);
}

/* ---- Free slots ---- */

bool slot_is_forgotten(const struct server *server, uint32_t now_s)
{
    return server->references == 0 &&
           seconds_between(server->idle_since_s, now_s) >= REMOVED_IDLE_S;
}

static void free_forgotten(struct table *table, uint32_t now_s)
{
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        struct server *server = &table->servers[slot];
        if (server->use != SLOT_REMOVED || !slot_is_forgotten(server, now_s))
            continue;
        slot_unlink(table, &table->services[server->service].trash, slot);
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

struct server *slot_for_server(struct table *table, uint32_t now_s)
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

struct service *slot_for_service(struct table *table, uint32_t now_s)
{
    struct service *service = free_service(table);

    if (service)
        return service;
    free_forgotten(table, now_s);
    return free_service(table);
}
