/* states.h -- the states of a connection as a director in direct routing sees it: by the client's
 * packets only. */
#ifndef STATES_H
#define STATES_H

#include <stdbool.h>

#include "dr.h"
#include "packet.h"

enum { STATE_NEW_TIMEOUT_S = 3 }; /* before its first packet has been looked at */

/* `state` is an enum dr_tcp_state or dr_sctp_state by the packet's protocol; UDP has none.
 * `secure`: the TCP table that kernel IPVS uses under attack (secure_tcp). */
uint8_t state_after(uint8_t state, const struct packet *packet, bool secure);
bool state_is_active(uint8_t protocol, uint8_t state);
/* Where a flood of connections that are never used ends. */
bool state_is_half_open(uint8_t protocol, uint8_t state);
/* Where a client only comes that has gone on after its first packet, if this was not it. */
bool state_is_proof(uint8_t protocol, uint8_t state);
bool state_is_established(uint8_t protocol, uint8_t state);
/* Whether other directors hear of a connection in this state at all. */
bool state_is_told(uint8_t protocol, uint8_t state);
/* How many states the protocol has; 0 of one that is not forwarded. */
uint32_t state_count(uint8_t protocol);
uint32_t state_timeout_s(uint8_t protocol, uint8_t state, const struct dr_timeouts *timeouts);

#endif
