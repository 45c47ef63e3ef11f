/* nq.c -- never queue: the first server without an active connection, else as sed. */
#include "schedulers.h"

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server))
        if (server_is_eligible(server) && server->active == 0)
            return server;
    return scheduler_sed.pick(table, service, flow, now_s);
}

const struct scheduler scheduler_nq = {
    .name = "nq",
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
