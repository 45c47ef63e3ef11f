/* mend.h -- a connection table that a killed process left in the middle of a batch is made whole
 * again, from its entries alone. */
#ifndef MEND_H
#define MEND_H

#include "connections.h"

/* Entries, services and servers stay; hash, timer wheel, free list and all counts of connections
 * are made anew. The table itself must not have been under change. */
void mend_connections(struct connections *connections, struct table *table);

/* Frames of the batch that was never finished have no verdict: they are taken back. */
void mend_stats(struct dr_stats *stats);

#endif
