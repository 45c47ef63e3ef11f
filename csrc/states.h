/* states.h -- the TCP states of a connection as a director in direct routing sees it: the client's
 * packets only. */
#ifndef STATES_H
#define STATES_H

#include <stdbool.h>

#include "dr.h"

enum { STATE_NEW_TIMEOUT_S = 3 }; /* before its first packet has been looked at */

enum dr_tcp_state state_after(enum dr_tcp_state state, uint8_t tcp_flags);
bool state_is_active(enum dr_tcp_state state);
uint32_t state_timeout_s(enum dr_tcp_state state, const struct dr_timeouts *timeouts);

#endif
