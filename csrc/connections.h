/* connections.h -- which real server a flow belongs to: states, time-outs, persistence templates.
 *
 * Entries are named by index, never by pointer, and time is in ticks of 2^24 ns (16.8 ms) of the
 * caller's clock, so the table outlives the process that fills it. Nothing here is allocated: all
 * memory is the caller's region.
 *
 * Of each entry there are two parts: 64 bytes that every packet needs, and a few beside them that
 * synchronisation needs, and a connection of 512 packets and more. Until then their memory is not
 * touched, so where nobody is told of connections the system need not give it. */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include <stdbool.h>

#include "dr.h"
#include "mix.h"
#include "packet.h"
#include "table.h"

enum {
    NO_CONNECTION = 0, /* entry 0 is never used */
    WHEEL_TICKS = 16,  /* a wheel slot: 0.27 s */
    WHEEL_SLOTS = 4096,
    PACKET_BITS = 9,
    TIMEOUT_BITS = 22,
    CROWD = 64,            /* entries that a bucket takes; by chance it has 10 at most */
    UNPROVED_PERCENT = 50, /* of the table, if nothing else is said */
    LONGEST_TIMEOUT_S = (1 << TIMEOUT_BITS) - 1, /* 48 days; ipvsadm takes at most 31 */
};

enum template_state { TEMPLATE_NONE, TEMPLATE_ASSURED };

enum connection_flag {
    CONNECTION_TEMPLATE = 0x1,
    CONNECTION_INACTIVE = 0x2, /* on which side its server counts it */
    CONNECTION_SYNCED = 0x4,   /* another director told us of it */
    CONNECTION_HAS_REST = 0x8, /* what is beside it is its own */
};

struct connection {
    uint8_t client[ADDRESS]; /* of a template: masked, and client_port is 0 */
    uint8_t address[ADDRESS];
    uint16_t client_port;
    uint16_t port;
    uint32_t next; /* in the hash bucket, or in the free list */
    uint32_t wheel_next;
    uint32_t wheel_previous; /* an entry, or WHEEL_HEAD | wheel slot */
    uint32_t expires;        /* tick */
    uint32_t control;        /* its template; in a template: how many it controls */
    uint16_t server;         /* slot */
    uint8_t protocol;
    uint8_t state : 4; /* by protocol; of a template enum template_state */
    uint8_t flags : 4; /* enum connection_flag */
    union {
        struct {
            uint32_t timeout_s : TIMEOUT_BITS; /* of the present state, or of a persistence */
            uint32_t is_unproved : 1;          /* its client has not gone on yet (unproved.c) */
            uint32_t packets : PACKET_BITS;    /* the lowest bits of how many there were */
        };
        uint32_t timeout_and_packets;
    };
};

_Static_assert(sizeof(struct connection) == 64, "a connection is one cache line");

/* Beside each entry, under the same index; of a former one while CONNECTION_HAS_REST is not set. */
struct connection_rest {
    uint32_t announced; /* tick until which others think it lives; two low bits: how often told */
    uint32_t packets : 32 - PACKET_BITS; /* the other bits */
    uint32_t announced_state : 4;
};

/* Beside each entry too: its neighbours among those that may be displaced, by age. Written only
 * while it is one of them. */
struct connection_queue {
    uint32_t older;
    uint32_t newer;
};

/* What the table remembers of itself; lives in the region. */
struct connections_book {
    uint64_t created;
    uint64_t expired;
    uint32_t count;
    uint32_t free;       /* first free entry that was once used */
    uint32_t fresh;      /* entries from here on were never used */
    uint32_t sweep;      /* the next entry to look at; NO_CONNECTION: no sweep */
    uint32_t sweep_tick; /* when it was asked for */
    uint32_t wheel_tick; /* when the wheel slot to be looked at next begins */
    struct dr_timeouts timeouts;
    uint64_t displaced; /* unproved entries that were ended to make room */
    uint32_t unproved;  /* how many there are now */
    uint32_t oldest;    /* of those that may be displaced */
    uint32_t newest;
};

/* Hears of a template that lives on because connections depend on it. */
struct connections_listener {
    void (*rearmed)(void *whose, struct connection *template, uint32_t tick);
    void *whose;
};

struct connections {
    struct connections_book *book;
    struct connection *entries;
    struct connection_rest *rest;
    struct connection_queue *queue;
    struct connections_listener listener;
    uint64_t seeds[2]; /* of the hash; each process has its own, and so hashes anew */
    uint32_t *buckets;
    uint32_t *wheel;
    uint32_t room; /* entries, with the unused one */
    uint32_t bucket_mask;
    uint32_t unproved_share; /* unproved entries that may be there; 0: nothing is displaced */
};

uint32_t connections_buckets(uint32_t room);
void connections_init(struct connections *connections, uint64_t now_ns);

/* Templates and connections share the hash but never a name: a client may well use port 0. */
struct connection *connections_find(const struct connections *connections, const struct flow *flow);
struct connection *connections_find_hashed(const struct connections *connections,
                                           const struct flow *flow, uint32_t hash);
struct connection *connections_find_template(const struct connections *connections,
                                             const struct flow *key);

/* A new entry on `server`, or NULL when there is no room, or too much in its bucket: then walks
 * through that stay short. `control` is NO_CONNECTION or the index
 * of its template. It is found before older entries of the same flow. */
struct connection *connections_add(struct connections *connections, struct table *table,
                                   const struct flow *flow, struct server *server, uint32_t control,
                                   uint32_t tick);
struct connection *connections_add_template(struct connections *connections, struct table *table,
                                            const struct flow *key, struct server *server,
                                            uint32_t timeout_s, uint32_t tick);

/* How much of the table those may take that have not proved themselves; 0: they have no share of
 * their own, and nothing is displaced, as in kernel IPVS. */
void connections_set_share(struct connections *connections, uint32_t percent);

/* From now on it is not displaced, and neither is its template. */
void connections_prove(struct connections *connections, struct connection *connection);

/* It alone: for who holds it while others begin. */
void connections_spare(struct connections *connections, struct connection *connection);

/* Moves a connection on by a packet of its client, and restarts its timer. */
void connections_packet(struct connections *connections, struct table *table,
                        struct connection *connection, const struct packet *packet, bool secure,
                        uint32_t tick);

void connections_restart(struct connections *connections, struct connection *connection,
                         uint32_t tick);

/* Gives it this time-out, from now on. */
void connections_set_timeout(struct connections *connections, struct connection *connection,
                             uint32_t timeout_s, uint32_t tick);

/* Has an entry found, and ended in time; it must not be linked yet. */
void connections_link(struct connections *connections, struct connection *connection);

struct flow connection_flow(const struct connection *connection);

/* How many packets of its client there were; of a template, how often it was used. */
uint32_t connections_packets(const struct connections *connections,
                             const struct connection *connection);
void connections_set_packets(struct connections *connections, struct connection *connection,
                             uint32_t packets, uint32_t tick);

/* Puts it on another server's account, or on the other side of it. */
void connections_move(struct table *table, struct connection *connection, struct server *server,
                      uint32_t tick);
void connections_change_side(struct table *table, struct connection *connection, bool inactive);

/* Ends an entry now, unless others depend on it. */
void connections_end(struct connections *connections, struct table *table,
                     struct connection *connection, uint32_t tick);

/* The same, and its template goes with it when that serves nobody else and was never assured. */
void connections_drop(struct connections *connections, struct table *table,
                      struct connection *connection, uint32_t tick);

/* How many entries of its name are found, without it. */
uint32_t connections_namesakes(const struct connections *connections,
                               const struct connection *connection);

/* How long it has had no packet. */
uint32_t connections_idle_s(const struct connection *connection, uint32_t tick);

/* Makes a template unfindable; it stays until its timer ends. */
void connections_invalidate(struct connections *connections, struct connection *connection);

/* Ends what has expired, at most `budget` entries; true when there may be more. */
bool connections_expire(struct connections *connections, struct table *table, uint32_t tick,
                        uint32_t budget);

/* Ends connections of drained servers that would end, or be new ones, with their next packet
 * without the client being told, and if `removed` says so those whose server was removed. Looks at
 * `budget` entries; true when there are more to look at. Begins anew after
 * connections_sweep_begin(), but not in the same tick: a server that is added again at once keeps
 * its connections. */
void connections_sweep_begin(struct connections *connections, uint32_t tick);
bool connections_sweep(struct connections *connections, struct table *table, bool removed,
                       uint32_t tick, uint32_t budget);

/* What is beside an entry; `tick` counts as the last time others were told, if it is new. */
struct connection_rest *connections_rest(struct connections *connections,
                                         struct connection *connection, uint32_t tick);

/* One more packet; their bits are the highest of the word, so they are full when that is. */
static inline void connections_count(struct connections *connections, struct connection *connection,
                                     uint32_t tick)
{
    if (__builtin_add_overflow(connection->timeout_and_packets, 1u << (32 - PACKET_BITS),
                               &connection->timeout_and_packets))
        connections_rest(connections, connection, tick)->packets++;
}

static inline uint32_t connections_index(const struct connections *connections,
                                         const struct connection *connection)
{
    return (uint32_t)(connection - connections->entries);
}

/* ---- Once a packet, and so not by a call ---- */

static inline uint32_t connections_hash(const struct connections *connections,
                                        const struct flow *flow)
{
    uint64_t ports = (uint64_t)flow->client_port << 16 | flow->port;
    uint64_t rest = (uint64_t)flow->protocol << 32 | ports;

    return mix_pair(connections->seeds, flow->client, flow->address, rest);
}

static inline uint32_t *connections_bucket(const struct connections *connections, uint32_t hash)
{
    return &connections->buckets[hash & connections->bucket_mask];
}

/* gcc takes a function that only prefetches for one without any effect, and leaves its calls out:
 * the empty statement is an effect. */
static inline void connections_prefetch(const void *line)
{
    __builtin_prefetch(line);
    __asm__ volatile("");
}

/* Start to bring a flow's bucket into the cache, then its first entry, and then, when that is of
 * another flow by the looks of it, the one behind it. */
static inline void connections_fetch_bucket(const struct connections *connections, uint32_t hash)
{
    connections_prefetch(connections_bucket(connections, hash));
}

static inline void connections_fetch_entry(const struct connections *connections, uint32_t hash)
{
    connections_prefetch(&connections->entries[*connections_bucket(connections, hash)]);
}

static inline void connections_fetch_next(const struct connections *connections,
                                          const struct flow *flow, uint32_t hash)
{
    const struct connection *first = &connections->entries[*connections_bucket(connections, hash)];

    if (first->client_port != flow->client_port ||
        memcmp(first->client + 8, flow->client + 8, 8) != 0)
        connections_prefetch(&connections->entries[first->next]);
}

#endif
