/* dh.c -- destination hashing: 256 slots shared out evenly, whatever the weights, and the VIP says
 * which. All connections to one VIP go to one server. */
#include "hash.h"
#include "schedulers.h"

enum {
    SLOT_BITS = 8,
    SLOTS = 1 << SLOT_BITS,
};

struct slots {
    uint16_t servers[SLOTS];
};

static void build(struct table *table, struct service *service)
{
    struct slots *slots = scheduler_memory(table, service);
    uint32_t server = NO_SLOT;

    for (uint32_t i = 0; i < SLOTS; i++) {
        server = scheduler_turn(table, service, server);
        slots->servers[i] = (uint16_t)server;
    }
}

static void changed(struct table *table, struct service *service, struct server *server)
{
    (void)server;
    build(table, service);
}

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)now_s;
    const struct slots *slots = scheduler_memory(table, service);
    uint32_t server = slots->servers[hash_multiply(hash_fold(flow->address), SLOT_BITS)];

    if (server == NO_SLOT || !server_is_eligible(&table->servers[server]))
        return NULL;
    return &table->servers[server];
}

const struct scheduler scheduler_dh = {
    .name = "dh",
    .memory_bytes = sizeof(struct slots),
    .attach = build,
    .start = scheduler_start_nothing,
    .added = changed,
    .removed = changed,
    .edited = changed,
    .pick = pick,
};
