/* schedule.h -- which real server a packet goes to: by its connection, by a persistence template,
 * or by its service's scheduler. */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include "director.h"

/* One-packet scheduling leaves no connection, at most a template. */
struct way {
    struct connection *connection;
    struct connection *template;
    struct server *server;
};

/* DR_FORWARDED and *way is filled in, or the reason why there is none. */
enum dr_verdict schedule_way(struct director *director, const struct packet *packet, uint32_t tick,
                             struct way *way);

/* The same for an ICMP error about this flow, whose connection it leaves as it is. With
 * schedule_icmp it may begin one, of no state yet, that ends within seconds unless used. */
enum dr_verdict schedule_related(struct director *director, const struct flow *flow, uint32_t tick,
                                 struct way *way);

#endif
