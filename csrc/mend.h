/* mend.h -- whatever bytes are in a state region, its tables are made sound: what a killed process
 * left in the middle of something, and what a disk or a stranger made of it since. Done at every
 * adoption; a table that was in order says the same afterwards as before. */
#ifndef MEND_H
#define MEND_H

#include "connections.h"

/* Services and servers first. What a field cannot be is put right; what cannot be what it says is
 * made a removed one, which keeps its connections for the one of its name that comes next. Lists
 * keep their order. Returns how many services and servers that was done to, or -ENOMEM. */
int mend_table(struct table *table, uint64_t now_ns);

/* Then connections: those that can be stay; hash, timer wheel, free list and all counts are made
 * anew, and no time-out ends later than its length from now. Returns how many there are. */
uint32_t mend_connections(struct connections *connections, struct table *table, uint32_t tick);

/* Frames of a batch that was never finished have no verdict: they are taken back. Counters that
 * nobody can have counted up to begin anew. */
void mend_stats(struct dr_stats *stats);

#endif
