/* ovf.c -- overflow: the heaviest server until it has more active connections than its weight says,
 * then the next heaviest; none when all are full. */
#include "schedulers.h"

/* Up to and including the weight, as in the kernel: a server gets weight + 1 connections. */
static bool has_room(const struct server *server)
{
    return server_is_eligible(server) && server->active <= server->config.weight;
}

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    (void)now_s;
    struct server *heaviest = NULL;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server))
        if (has_room(server) && (!heaviest || server->config.weight > heaviest->config.weight))
            heaviest = server;
    return heaviest;
}

const struct scheduler scheduler_ovf = {
    .name = "ovf",
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
