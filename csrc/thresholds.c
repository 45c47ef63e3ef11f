/* thresholds.c -- full at the upper threshold, open again below the lower, as in kernel IPVS. */
#include "thresholds.h"

static void update_overload_after_release(struct server *server)
{
    uint64_t count = (uint64_t)server->active + server->inactive;

    if (server->config.lower != 0)
        server->overloaded &= !(count < server->config.lower);
    else if (server->config.upper != 0)
        server->overloaded &= !(count * 4 < (uint64_t)server->config.upper * 3);
    else
        server->overloaded = 0;
}

void server_taken(struct server *server, bool is_template)
{
    server->references++;
    if (is_template)
        server->persistent++;
    else
        server->inactive++;
    /* Templates do not count, but the kernel looks at the count when one comes, too. */
    if (server->config.upper != 0 && server->active + server->inactive >= server->config.upper)
        server->overloaded = 1;
}

void server_released(struct server *server, bool is_template, uint32_t now_s)
{
    server->references--;
    server->idle_since_s = now_s;
    if (is_template)
        server->persistent--;
    update_overload_after_release(server);
}
