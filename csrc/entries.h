/* entries.h -- what the files of the connection table have of each other: connections.c finds,
 * begins and ends entries, life.c moves them on, wheel.c ends them in time, sweep.c those of
 * servers that are gone. Nobody else needs it. */
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

/* Off its server's account. */
void leave_server(struct table *table, struct connection *connection, uint32_t tick);

#endif
