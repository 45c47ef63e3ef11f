/* sh.c -- source hashing: 256 slots shared out by weight, and the client's address says which.
 *
 * Flags: DR_SCHEDULER_1 goes on to other slots when the server there cannot take the connection,
 * DR_SCHEDULER_2 lets the client's port count too. */
#include "hash.h"
#include "schedulers.h"

enum {
    SLOT_BITS = 8,
    SLOTS = 1 << SLOT_BITS,
};

struct slots {
    uint16_t servers[SLOTS];
};

/* One round after the other over the list, each server taking as many slots as it weighs. One of
 * weight 0 takes a slot too, and refuses the clients that fall there: the kernel's quirk. */
static void build(struct table *table, struct service *service)
{
    struct slots *slots = scheduler_memory(table, service);
    uint32_t server = scheduler_turn(table, service, NO_SLOT);
    uint32_t taken = 0;

    for (uint32_t i = 0; i < SLOTS; i++) {
        slots->servers[i] = (uint16_t)server;
        if (server != NO_SLOT && ++taken >= table->servers[server].config.weight) {
            server = scheduler_turn(table, service, server);
            taken = 0;
        }
    }
}

static void changed(struct table *table, struct service *service, struct server *server)
{
    (void)server;
    build(table, service);
}

static struct server *server_in(struct table *table, const struct slots *slots, uint32_t slot)
{
    uint32_t server = slots->servers[slot % SLOTS];

    return server == NO_SLOT ? NULL : &table->servers[server];
}

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)now_s;
    const struct slots *slots = scheduler_memory(table, service);
    const uint32_t flags = service->config.flags;
    uint32_t port = flags & DR_SCHEDULER_2 ? flow->client_port : 0;
    uint32_t slot = hash_multiply(port + hash_fold(flow->client), SLOT_BITS);
    struct server *server = server_in(table, slots, slot);

    if (!server || server_is_eligible(server))
        return server;
    if (!(flags & DR_SCHEDULER_1))
        return NULL;
    /* The kernel counts the first slot in twice, and so starts elsewhere; it meets all. */
    for (uint32_t i = 0; i < SLOTS; i++) {
        server = server_in(table, slots, i + slot + slot);
        if (server_is_eligible(server))
            return server;
    }
    return NULL;
}

const struct scheduler scheduler_sh = {
    .name = "sh",
    .memory_bytes = sizeof(struct slots),
    .attach = build,
    .start = scheduler_start_nothing,
    .added = changed,
    .removed = changed,
    .edited = changed,
    .pick = pick,
};
