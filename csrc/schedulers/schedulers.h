/* schedulers.h -- how a real server is picked for a new connection; one file a scheduler.
 *
 * Servers are visited in list order, the newest first, and the first of equals wins, exactly as
 * kernel IPVS does; `ipvsadm -L` sorts and so does not show that order. */
#ifndef SCHEDULERS_H
#define SCHEDULERS_H

#include "table.h"

struct scheduler {
    const char *name;
    /* Of a service's own memory, scheduler_memory(); 0 for a scheduler that needs none. */
    size_t memory_bytes;
    uint32_t most_servers; /* 0: any number */
    /* The memory is new, all zeros: fill in what follows from the server list. NULL: nothing. */
    void (*attach)(struct table *table, struct service *service);
    /* The service got this scheduler; its server list may already be filled. */
    void (*start)(struct table *table, struct service *service);
    void (*added)(struct table *table, struct service *service, struct server *server);
    /* The server has left the list but still knows its former neighbours. */
    void (*removed)(struct table *table, struct service *service, struct server *server);
    void (*edited)(struct table *table, struct service *service, struct server *server);
    /* A server for a new connection, or NULL. `now_s` counts from anywhere. */
    struct server *(*pick)(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s);
};

extern const struct scheduler scheduler_rr;
extern const struct scheduler scheduler_wrr;
extern const struct scheduler scheduler_lc;
extern const struct scheduler scheduler_wlc;
extern const struct scheduler scheduler_sed;
extern const struct scheduler scheduler_nq;
extern const struct scheduler scheduler_sh;
extern const struct scheduler scheduler_dh;
extern const struct scheduler scheduler_mh;
extern const struct scheduler scheduler_fo;
extern const struct scheduler scheduler_ovf;
extern const struct scheduler scheduler_lblc;
extern const struct scheduler scheduler_lblcr;
extern const struct scheduler scheduler_twos;

/* Numbers are stored in services and so never change; NULL when there is no such scheduler. */
const struct scheduler *scheduler_of(int number);
int scheduler_find(const char *name);

/* Gives the service its scheduler's memory, in place of any it had; -ENOMEM leaves that. */
int scheduler_attach(struct table *table, struct service *service, int number);

void scheduler_detach(struct table *table, struct service *service);

static inline void *scheduler_memory(const struct table *table, const struct service *service)
{
    return table->memory[service - table->services];
}

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

/* The server after this one, round about and without those that are drained; from NO_SLOT on the
 * first; NO_SLOT when there is none. For hash schedulers, whose clients are to be spread over the
 * others as if it were not there. */
uint32_t scheduler_turn(const struct table *table, const struct service *service, uint32_t slot);

/* An active connection weighs as much as 256 inactive ones. In slow start, which the kernel has
 * not, the load of a server that has just come counts for more, so that it is nowhere near its
 * share at first, and its share grows evenly; one with no load at all is given its first
 * connection. */
static inline uint64_t scheduler_load(const struct service *service, const struct server *server,
                                      uint32_t now_s)
{
    uint64_t load = (uint64_t)server->active * 256 + server->inactive;
    uint32_t age_s = seconds_between(server->began_s, now_s);

    if (age_s >= service->config.slow_start_s)
        return load;
    return load * service->config.slow_start_s / (age_s == 0 ? 1 : age_s);
}

/* Load / weight, compared without dividing: equal quotients are equal. */
static inline bool scheduler_is_less_loaded(const struct service *service,
                                            const struct server *server, const struct server *than,
                                            uint32_t now_s)
{
    return scheduler_load(service, server, now_s) * than->config.weight <
           scheduler_load(service, than, now_s) * server->config.weight;
}

#endif
