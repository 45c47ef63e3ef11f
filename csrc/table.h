/* table.h -- virtual services and real servers, and the service that a flow belongs to.
 *
 * Both live in slots of the state region and name each other by slot number, so the region can be
 * mapped anywhere. A removed server keeps its slot while connections name it: added again, it
 * comes back with its counters, as in kernel IPVS. Whoever changes or reads the table holds the
 * engine's gate. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>

#include "dr.h"
#include "packet.h"
#include "rates.h"

enum {
    NO_SLOT = 0xffff,
    REMOVED_IDLE_S = 120, /* a removed server's counters are kept so long after its last use */
};

/* All that is counted in seconds goes by ticks of 2^24 ns, so that no part of the core is a second
 * ahead of another. */
enum { TICK_SHIFT = 24 };

static inline uint32_t tick_of(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> TICK_SHIFT);
}

static inline uint32_t seconds_of(uint32_t tick)
{
    return (uint32_t)(((uint64_t)tick << TICK_SHIFT) / 1000000000);
}

/* The same of a whole time: it goes on where ticks begin anew, after 834 days. */
static inline uint32_t seconds_at(uint64_t now_ns)
{
    return (uint32_t)((now_ns >> TICK_SHIFT << TICK_SHIFT) / 1000000000);
}

/* Between two seconds of ticks, of which the later may be of the next turn. */
static inline uint32_t seconds_between(uint32_t then_s, uint32_t now_s)
{
    uint32_t turn_s = seconds_of(UINT32_MAX);

    return now_s >= then_s ? now_s - then_s : now_s + turn_s - then_s;
}

enum slot_use {
    SLOT_FREE,
    SLOT_LISTED,
    SLOT_REMOVED,
    SLOT_FOREIGN, /* a server that another director has in a service, and we have not (foreign.h) */
};

struct server {
    struct dr_server config;
    uint8_t mac[MAC];
    uint32_t mtu;       /* of the way there; 0: the interface's */
    uint8_t use;        /* enum slot_use */
    uint8_t overloaded; /* at its upper threshold, and not yet below the lower */
    uint32_t service;
    uint32_t next; /* in the service's list, or among its removed servers */
    uint32_t previous;
    uint32_t last_weight; /* the last one that was not 0 */
    uint32_t began_s;     /* when it was last given connections again */
    uint32_t active;
    uint32_t inactive;
    uint32_t persistent; /* templates */
    uint32_t references; /* connections and templates that name this slot */
    uint32_t idle_since_s;
    struct dr_counters in;
    struct estimator estimator;
};

/* What rr and wrr remember between two picks; NO_SLOT is the list's head. */
struct cursor {
    uint32_t at;
    int64_t current_weight;
    int64_t max_weight;
    int64_t divisor;
};

struct service {
    struct dr_service config;
    uint8_t use;    /* enum slot_use */
    uint32_t head;  /* first server; the newest, as in kernel IPVS */
    uint32_t trash; /* first removed server */
    uint32_t servers;
    struct cursor cursor;
    struct dr_counters in;
    struct estimator estimator;
};

/* A view of the region, plus the index that is derived from it. */
struct table {
    struct service *services;
    struct server *servers;
    struct totals *totals;
    uint32_t service_room;
    uint32_t server_room;
    uint32_t service_hint; /* no slot below is free */
    uint32_t service_top;  /* slots from here on were never used */
    uint32_t server_top;
    struct rates_pass pass;
    void **memory;         /* of each service's scheduler; derived, so not in the region */
    uint16_t *by_endpoint; /* open addressing: protocol, address, port -> service */
    uint16_t *by_address;  /* open addressing: address -> some service with that VIP */
    uint32_t index_mask;
    uint32_t server_hint; /* where to look for a free slot next */
    uint32_t any_port;    /* services with port 0 */
    uint32_t ftp;         /* services on port 21 */
    uint32_t foreign;     /* the first SLOT_FOREIGN */
    uint32_t lblc_expiration_s;
    uint32_t lblcr_expiration_s;
    struct dr_mark *marks;
    size_t mark_count;
};

int table_open(struct table *table);
void table_close(struct table *table);

int table_set_marks(struct table *table, const struct dr_mark *marks, size_t count);

/* After a service was added. */
void table_index(struct table *table, const struct service *service);

/* After one was deleted. */
void table_reindex(struct table *table);

struct service *table_find_service(const struct table *table, uint8_t protocol,
                                   const uint8_t address[ADDRESS], uint16_t port);
bool service_is(const struct service *service, uint8_t protocol, const uint8_t address[ADDRESS],
                uint16_t port);

struct service *table_find(const struct table *table, const struct flow *flow);
/* The same for a flow whose mark is known; 0 is none. */
struct service *table_find_marked(const struct table *table, const struct flow *flow,
                                  uint32_t mark);
/* What a firewall would mark it with, 0 if it would not. */
uint32_t table_mark(const struct table *table, const struct flow *flow);
/* An address that is ours to announce: of a service, or the one address of a mark. A network of
 * addresses that a mark names is routed to us, and may hold anybody. */
bool table_has_vip(const struct table *table, const uint8_t address[ADDRESS]);
bool table_serves(const struct table *table, const uint8_t address[ADDRESS]);

/* Any service over IPv4, or any over IPv6. */
bool table_has_family(const struct table *table, bool ipv4);

uint32_t table_count_services(const struct table *table);
uint32_t table_count_servers(const struct table *table);

/* May be sent to: it was not removed. */
static inline bool server_is_there(const struct server *server)
{
    return server->use == SLOT_LISTED || server->use == SLOT_FOREIGN;
}

/* No packet of its connections is to reach it any more. */
static inline bool server_ends_connections(const struct server *server)
{
    return __builtin_expect(server->config.drain > DR_DRAIN_KEEP, 0) && server->use == SLOT_LISTED;
}

static inline bool server_is_eligible(const struct server *server)
{
    return !server->overloaded && server->config.weight > 0;
}

static inline bool mac_is_known(const uint8_t mac[MAC])
{
    return mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5];
}

static inline bool server_has_mac(const struct server *server)
{
    return mac_is_known(server->mac);
}

#endif
