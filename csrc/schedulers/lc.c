/* lc.c -- least connections: an active one weighs 256 inactive ones. */
#include "schedulers.h"

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    struct server *least = NULL;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server))
        if (server_is_eligible(server) && (!least || scheduler_load(service, server, now_s) <
                                                         scheduler_load(service, least, now_s)))
            least = server;
    return least;
}

const struct scheduler scheduler_lc = {
    .name = "lc",
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
