/* fo.c -- fail-over: always the server of the largest weight, as long as it may take more. */
#include "schedulers.h"

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    (void)now_s;
    struct server *heaviest = NULL;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server))
        if (server_is_eligible(server) &&
            (!heaviest || server->config.weight > heaviest->config.weight))
            heaviest = server;
    return heaviest;
}

const struct scheduler scheduler_fo = {
    .name = "fo",
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
