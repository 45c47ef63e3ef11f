/* wlc.c -- weighted least connections: the least of (active * 256 + inactive) / weight, compared
 * by cross-multiplication so that equal quotients are ties, which the first in the list wins. */
#include "schedulers.h"

static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    struct server *least = NULL;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server)) {
        if (!server_is_eligible(server))
            continue;
        if (!least || scheduler_is_less_loaded(service, server, least, now_s))
            least = server;
    }
    return least;
}

const struct scheduler scheduler_wlc = {
    .name = "wlc",
    .start = scheduler_start_nothing,
    .added = scheduler_note_nothing,
    .removed = scheduler_note_nothing,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
