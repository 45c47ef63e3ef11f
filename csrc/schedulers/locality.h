/* locality.h -- what lblc and lblcr remember: which servers the connections to a destination went
 * to, so that a cache that has its content gets the next one too.
 *
 * It is a service's own memory: zeros, then locality_init(). Nothing is allocated later; entries
 * that were never used are never touched. It does not outlive the process. */
#ifndef LOCALITY_H
#define LOCALITY_H

#include "table.h"

enum {
    LOCALITY_BITS = 10,
    LOCALITY_BUCKETS = 1 << LOCALITY_BITS,
    LOCALITY_MOST = 24576,                /* destinations: the kernel's bound */
    LOCALITY_MEMBERS = 4 * LOCALITY_MOST, /* of all sets together: ours, the kernel has none */
};

/* A server of a destination's set. A slot may go to another server while it is remembered, so the
 * server's name is kept beside it. */
struct locality_member {
    uint8_t address[ADDRESS];
    uint16_t port;
    uint16_t server; /* slot */
    uint32_t next;   /* in the set, or in the free list */
};

struct locality_entry {
    uint8_t address[ADDRESS]; /* the destination */
    uint32_t next;            /* in the bucket, or in the free list */
    uint32_t first;           /* member of the set; the newest */
    uint32_t members;
    uint32_t used_s;
    uint32_t changed_s; /* when the set last was */
};

/* Entries and members are named by index; 0 is none. */
struct locality {
    uint32_t buckets[LOCALITY_BUCKETS];
    uint32_t count; /* entries in use */
    uint32_t free_entry;
    uint32_t fresh_entry; /* entries from here on were never used */
    uint32_t free_member;
    uint32_t fresh_member;
    uint32_t rover; /* the bucket swept last */
    uint32_t sweeps;
    uint32_t swept_s;
    bool is_sweeping;
    struct locality_entry entries[LOCALITY_MOST + 1];
    struct locality_member members[LOCALITY_MEMBERS + 1];
};

void locality_init(struct locality *locality);

/* Forgets destinations as the kernel's timer would have done by now: after `expiration_s`, or
 * earlier when they are many. */
void locality_expire(struct locality *locality, uint32_t expiration_s, uint32_t now_s);

struct locality_entry *locality_find(struct locality *locality, const uint8_t address[ADDRESS]);
/* NULL when there is no room. */
struct locality_entry *locality_add(struct locality *locality, const uint8_t address[ADDRESS],
                                    uint32_t now_s);

/* Puts a server into the set, first, unless it is there or there is no room. */
void locality_insert(struct locality *locality, struct locality_entry *entry,
                     const struct table *table, const struct server *server, uint32_t now_s);
void locality_erase(struct locality *locality, struct locality_entry *entry, uint32_t member,
                    uint32_t now_s);

/* The server a member names, listed or removed; NULL when its slot has been given away. */
struct server *locality_server(const struct table *table, const struct service *service,
                               const struct locality_member *member);

/* More active connections than its weight says, while another has less than half of that. */
bool locality_is_overfull(const struct table *table, const struct service *service,
                          const struct server *server);

#endif
