/* listing.h -- copies of what the director knows, for those who look from outside. */
#ifndef LISTING_H
#define LISTING_H

#include "director.h"

void listing_stats(const struct director *director, struct dr_stats *out);
size_t listing_services(const struct director *director, struct dr_service_row *rows, size_t room);
size_t listing_servers(const struct director *director, uint32_t service_slot,
                       struct dr_server_row *rows, size_t room);

/* Goes on at *cursor, over a bounded stretch of the table; leaves 0 there at the end. */
size_t listing_connections(const struct director *director, uint32_t *cursor, uint32_t tick,
                           struct dr_connection_row *rows, size_t room);

#endif
