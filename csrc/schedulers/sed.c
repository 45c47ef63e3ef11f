/* sed.c -- shortest expected delay: the least of (active + 1) / weight, that is counting the new
 * connection. Compared by cross-multiplication; the first of equals in the list wins. */
#include "schedulers.h"

static uint64_t cost(const struct server *server)
{
    return (uint64_t)server->active + 1;
}

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    (void)now_s;
    struct server *least = NULL;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server)) {
        if (!server_is_eligible(server))
            continue;
        if (!least || cost(least) * server->config.weight > cost(server) * least->config.weight)
            least = server;
    }
    return least;
}

const struct scheduler scheduler_sed = {
    .name = "sed",
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
