/* entries.h -- what the files of the connection table have of each other: connections.c finds,
 * begins and ends entries, life.c moves them on, wheel.c ends them in time, sweep.c those of
 * servers that are gone, unproved.c those of a flood. Nobody else needs it. */
#ifndef ENTRIES_H
#define ENTRIES_H

#include "connections.h"

/* To and from the list of those that end at the same time. */
void wheel_link(struct connections *connections, struct connection *connection);
void wheel_unlink(struct connections *connections, const struct connection *connection);

/* Rounded up, and one more because the tick it is added to has begun: never early. */
uint32_t ticks_of_seconds(uint32_t seconds);

/* What of a time-out has room in an entry. */
static inline uint32_t bounded_s(uint32_t timeout_s)
{
    return timeout_s < LONGEST_TIMEOUT_S ? timeout_s : LONGEST_TIMEOUT_S;
}

/* Ends what is unproved, the oldest first, until one more has its share and room. */
void displace(struct connections *connections, struct table *table, uint32_t tick);

/* To and from those that may be displaced, by age. */
void queue_link(struct connections *connections, const struct connection *connection);
void queue_unlink(struct connections *connections, const struct connection *connection);

/* One that depends on a template begins, or has ended. */
void hold_template(struct connections *connections, uint32_t control);
void release_template(struct connections *connections, uint32_t control);

/* Off its server's account. */
void leave_server(struct table *table, struct connection *connection, uint32_t tick);

#endif
