/* sync.h -- a master's side of synchronisation: which connections others are told of, and when, and
 * the messages that wait to be sent. Bytes come out; no socket is known here.
 *
 * The rules are kernel IPVS's (net/netfilter/ipvs/ip_vs_sync.c, sysctls sync_*). */
#ifndef SYNC_H
#define SYNC_H

#include "director.h"
#include "schedule.h"

/* A master's messages: `maxlen` bytes at most, but one entry always fits. NULL: no memory. */
struct sync *sync_new(const struct dr_sync_daemon *daemon, const struct dr_tuning *tuning);
void sync_free(struct sync *sync);

/* After a packet of a client was sent on: tells of its connection, and of its template, when it is
 * time to. */
void sync_packet(struct director *director, const struct way *way, uint32_t tick);

/* A connections_listener of this director's: a template lives on. */
void sync_rearmed(void *director, struct connection *template, uint32_t tick);

/* The next message that is due; 0: none. */
size_t sync_take(struct director *director, uint32_t tick, uint32_t *port, uint8_t *bytes,
                 size_t room);

#endif
