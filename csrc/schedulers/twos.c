/* twos.c -- the power of two choices: of two servers drawn at random by weight, the one that has
 * less to do.
 *
 * The draws come from a generator in the service's memory, seeded by the service's name, so that
 * the same history gives the same picks: a replay is exact. In the kernel they are truly random. */
#include "schedulers.h"

struct generator {
    uint64_t state;
};

/* SplitMix64. */
static uint64_t next(struct generator *generator)
{
    uint64_t word = generator->state += UINT64_C(0x9e3779b97f4a7c15);

    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

static uint64_t draw(struct generator *generator, uint64_t below)
{
    return (uint64_t)((unsigned __int128)next(generator) * below >> 64);
}

static void attach(struct table *table, struct service *service)
{
    struct generator *generator = scheduler_memory(table, service);
    const struct dr_service *config = &service->config;

    generator->state = (uint64_t)config->port << 8 | config->protocol;
    for (int i = 0; i < ADDRESS; i++)
        generator->state = next(generator) ^ config->address[i];
}

static uint64_t total_weight(const struct table *table, const struct service *service)
{
    uint64_t total = 0;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server))
        if (server_is_eligible(server))
            total += server->config.weight;
    return total;
}

/* The eligible server at `mark` on a scale where each is as long as its weight; 0 belongs to the
 * first one, which so has one chance more than its weight: the kernel's quirk. */
static struct server *server_at(const struct table *table, const struct service *service,
                                uint64_t mark)
{
    struct server *server = scheduler_first(table, service);

    for (; server; server = scheduler_next(table, server)) {
        if (!server_is_eligible(server))
            continue;
        if (mark <= server->config.weight)
            break;
        mark -= server->config.weight;
    }
    return server;
}

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    (void)now_s;
    struct generator *generator = scheduler_memory(table, service);
    const uint64_t total = total_weight(table, service);

    if (total == 0)
        return NULL;
    struct server *one = server_at(table, service, draw(generator, total + 1));
    struct server *other = server_at(table, service, draw(generator, total + 1));
    return scheduler_is_less_loaded(service, other, one, now_s) ? other : one;
}

const struct scheduler scheduler_twos = {
    .name = "twos",
    .memory_bytes = sizeof(struct generator),
    .attach = attach,
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
