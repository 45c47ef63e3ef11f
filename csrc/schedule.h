/* schedule.h -- which real server a packet goes to: by its connection, by a persistence template,
 * or by its service's scheduler. */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include "director.h"

/* One-packet scheduling leaves no connection. */
struct way {
    struct connection *connection;
    struct server *server;
};

/* DR_FORWARDED and *way is filled in, or the reason why there is none. */
enum dr_verdict schedule_way(struct director *director, const struct packet *packet, uint32_t tick,
                             struct way *way);

#endif
