/* schedulers.h -- how a real server is picked for a new connection; one file a scheduler.
 *
 * Servers are visited in list order, the newest first, and the first of equals wins, exactly as
 * kernel IPVS does; `ipvsadm -L` sorts and so does not show that order. */
#ifndef SCHEDULERS_H
#define SCHEDULERS_H

#include "table.h"

struct scheduler {
    const char *name;
    /* The service got this scheduler; its server list may already be filled. */
    void (*start)(struct table *table, struct service *service);
    void (*added)(struct table *table, struct service *service, struct server *server);
    /* The server has left the list but still knows its former neighbours. */
    void (*removed)(struct table *table, struct service *service, struct server *server);
    void (*edited)(struct table *table, struct service *service, struct server *server);
    /* A server that is eligible, or NULL. */
    struct server *(*pick)(struct table *table, struct service *service, const struct flow *flow);
};

extern const struct scheduler scheduler_rr;
extern const struct scheduler scheduler_wrr;
extern const struct scheduler scheduler_lc;
extern const struct scheduler scheduler_wlc;

/* Numbers are stored in services and so never change; NULL when there is no such scheduler. */
const struct scheduler *scheduler_of(int number);
int scheduler_find(const char *name);

/* For schedulers that remember nothing. */
void scheduler_start_nothing(struct table *table, struct service *service);
void scheduler_note_nothing(struct table *table, struct service *service, struct server *server);

static inline struct server *scheduler_first(const struct table *table,
                                             const struct service *service)
{
    return service->head == NO_SLOT ? NULL : &table->servers[service->head];
}

static inline struct server *scheduler_next(const struct table *table, const struct server *server)
{
    return server->next == NO_SLOT ? NULL : &table->servers[server->next];
}

/* An active connection weighs as much as 256 inactive ones. */
static inline uint64_t scheduler_load(const struct server *server)
{
    return (uint64_t)server->active * 256 + server->inactive;
}

#endif
