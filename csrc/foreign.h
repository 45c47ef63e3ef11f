/* foreign.h -- servers of connections that another director told us of, and that no service here
 * has: such a connection is kept, and its packets go on to the server that was named. */
#ifndef FOREIGN_H
#define FOREIGN_H

#include "table.h"

/* Unauthenticated messages make these, so they may not use up the room for real ones. */
enum { FOREIGN_MOST = 256, FOREIGN_SHARE = 4 /* and at most the fourth part of the slots */ };

/* Its slot, made if need be, or NULL when there is no room. Its MAC address is that of the same
 * server in some service; else it is unknown until DR_SET_MAC names it. */
struct server *foreign_server(struct table *table, const uint8_t address[ADDRESS], uint16_t port,
                              uint32_t now_s);

#endif
