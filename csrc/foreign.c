/* foreign.c -- a few server slots that belong to no service. */
#include "foreign.h"

#include <string.h>

#include "slots.h"

static void copy_mac(const struct table *table, struct server *server)
{
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        const struct server *other = &table->servers[slot];
        if (other->use == SLOT_FREE || !server_has_mac(other) ||
            !is_same_address(other->config.address, server->config.address))
            continue;
        memcpy(server->mac, other->mac, MAC);
        server->mtu = other->mtu;
        return;
    }
}

/* One that nobody refers to any more, or a new one; it is in the list. */
static struct server *vacant(struct table *table, uint32_t now_s)
{
    uint32_t count = 0;

    for (uint32_t slot = table->foreign; slot != NO_SLOT; slot = table->servers[slot].next) {
        if (table->servers[slot].references == 0)
            return &table->servers[slot];
        count++;
    }
    if (count >= FOREIGN_MOST || count >= table->server_room / FOREIGN_SHARE)
        return NULL;
    struct server *server = slot_for_server(table, now_s);
    if (server) {
        server->next = table->foreign;
        table->foreign = (uint32_t)(server - table->servers);
    }
    return server;
}

struct server *foreign_server(struct table *table, const uint8_t address[ADDRESS], uint16_t port,
                              uint32_t now_s)
{
    for (uint32_t slot = table->foreign; slot != NO_SLOT; slot = table->servers[slot].next) {
        struct server *server = &table->servers[slot];
        if (server->config.port == port && is_same_address(server->config.address, address))
            return server;
    }
    struct server *server = vacant(table, now_s);
    if (!server)
        return NULL;
    *server = (struct server){
        .config = {.port = port, .weight = 1},
        .use = SLOT_FOREIGN,
        .service = NO_SLOT,
        .next = server->next,
    };
    memcpy(server->config.address, address, ADDRESS);
    copy_mac(table, server);
    return server;
}
