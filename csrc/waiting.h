/* waiting.h -- sleeping until a frame may be there, whatever becomes of the interface meanwhile. */
#ifndef WAITING_H
#define WAITING_H

#include <poll.h>

/* Returns when one of these is readable, or the time is over. The first is the eventfd by which
 * the waiter is woken, and is emptied.
 *
 * A socket whose interface goes down has an error pending (ENETDOWN, packet(7)), which poll()
 * reports at once, each time, until it is fetched: it is fetched here. One that stays in trouble
 * nevertheless is left out for a while, so that waiting never becomes spinning. */
void wait_for(struct pollfd *fds, nfds_t count, int timeout_ms);

#endif
