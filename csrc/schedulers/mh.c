/* mh.c -- Maglev hashing: a table of 4093 slots that servers fill in turns, each along a path of
 * its own, so that a server's leaving moves few clients of the others. The client's address says
 * which slot. (Eisenbud et al., "Maglev", NSDI 2016, section 3.4; the numbers are the kernel's.)
 *
 * Flags: DR_SCHEDULER_1 goes on to other slots when the server there cannot take the connection,
 * DR_SCHEDULER_2 lets the client's port count too. */
#include <string.h>

#include "hash.h"
#include "schedulers.h"

enum {
    SLOTS = 4093, /* a prime, so that every path meets every slot */
    TURN_BITS = 6,
};

/* How a server goes through the table while it is filled. */
struct path {
    uint16_t server;
    uint16_t slot;
    uint16_t skip;
    uint16_t turns; /* slots it takes in a round */
};

_Static_assert(SLOTS < UINT16_MAX && 1 << TURN_BITS <= UINT16_MAX, "a path fits its fields");

struct maglev {
    uint16_t servers[SLOTS];
    struct path paths[SLOTS]; /* used in build() only */
};

static uint32_t hash_slot(uint32_t value)
{
    return hash_sip(2654435761, value);
}

static uint32_t hash_skip(uint32_t value)
{
    return hash_sip(2654446892, value);
}

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Weights are brought down to at most TURN_BITS bits, and none to nothing. */
static uint32_t turns_of(uint32_t weight, uint32_t divisor, uint32_t max)
{
    uint32_t bits = 32 - (uint32_t)__builtin_clz(max / divisor);
    uint32_t turns = weight / divisor >> (bits > TURN_BITS ? bits - TURN_BITS : 0);

    return turns == 0 && weight != 0 ? 1 : turns;
}

/* The last that was not 0: a server edited to 0 keeps its slots and refuses the clients that fall
 * there, until it is removed or comes back; one that is drained leaves them to others. */
static uint32_t shared_weight(const struct server *server)
{
    return server->config.drain == DR_DRAIN_NONE ? server->last_weight : 0;
}

static uint32_t lay_paths(struct table *table, struct service *service, struct path *paths)
{
    uint32_t divisor = 0;
    uint32_t max = 0;
    uint32_t count = 0;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server)) {
        divisor = greatest_common_divisor(divisor, shared_weight(server));
        if (shared_weight(server) > max)
            max = shared_weight(server);
    }
    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server)) {
        if (shared_weight(server) == 0)
            continue;
        uint32_t value = server->config.port + hash_fold(server->config.address);
        paths[count++] = (struct path){
            .server = (uint16_t)(server - table->servers),
            .slot = (uint16_t)(hash_slot(value) % SLOTS),
            .skip = (uint16_t)(hash_skip(value) % (SLOTS - 1) + 1),
            .turns = (uint16_t)turns_of(shared_weight(server), divisor, max),
        };
    }
    return count;
}

static void build(struct table *table, struct service *service)
{
    struct maglev *maglev = scheduler_memory(table, service);
    uint32_t count = lay_paths(table, service, maglev->paths);
    uint32_t filled = 0;

    _Static_assert(NO_SLOT == 0xffff, "memset makes it");
    memset(maglev->servers, 0xff, sizeof(maglev->servers));
    for (uint32_t i = 0; count > 0 && filled < SLOTS; i = (i + 1) % count) {
        struct path *path = &maglev->paths[i];
        for (uint32_t turn = 0; turn < path->turns && filled < SLOTS; turn++) {
            while (maglev->servers[path->slot] != NO_SLOT)
                path->slot = (uint16_t)((path->slot + path->skip) % SLOTS);
            maglev->servers[path->slot] = path->server;
            filled++;
        }
    }
}

static void changed(struct table *table, struct service *service, struct server *server)
{
    (void)server;
    build(table, service);
}

static struct server *server_in(struct table *table, const struct maglev *maglev, uint32_t slot)
{
    uint32_t server = maglev->servers[slot];

    return server == NO_SLOT ? NULL : &table->servers[server];
}

/* Asked before all slots are tried: when every server is down, that must not cost 4093 hashes. */
static bool has_eligible(const struct table *table, const struct service *service)
{
    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server))
        if (server_is_eligible(server))
            return true;
    return false;
}

/* Each try hashes anew, so the clients of one server are spread over all others. */
static struct server *fall_back(struct table *table, const struct maglev *maglev, uint32_t value,
                                uint32_t slot)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct server *server =
            server_in(table, maglev, hash_slot(value + (i + slot) % SLOTS) % SLOTS);
        if (server_is_eligible(server))
            return server;
    }
    return NULL;
}

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)now_s;
    const struct maglev *maglev = scheduler_memory(table, service);
    const uint32_t flags = service->config.flags;
    uint32_t port = flags & DR_SCHEDULER_2 ? flow->client_port : 0;
    uint32_t value = port + hash_fold(flow->client);
    uint32_t slot = hash_slot(value) % SLOTS;
    struct server *server = server_in(table, maglev, slot);

    if (!server || server_is_eligible(server))
        return server;
    if (!(flags & DR_SCHEDULER_1) || !has_eligible(table, service))
        return NULL;
    return fall_back(table, maglev, value, slot);
}

const struct scheduler scheduler_mh = {
    .name = "mh",
    .memory_bytes = sizeof(struct maglev),
    .most_servers = SLOTS,
    .attach = build,
    .start = scheduler_start_nothing,
    .added = changed,
    .removed = changed,
    .edited = changed,
    .pick = pick,
};
