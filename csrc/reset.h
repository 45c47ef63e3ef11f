/* reset.h -- a TCP RST (RFC 9293 section 3.10.7.1) in the name of the VIP. Frame in, frame out. */
#ifndef RESET_H
#define RESET_H

#include "packet.h"

enum { RESET_ROOM = LINK_HEADER + 40 + 20 };

/* Writes the answer to a TCP segment of no connection; returns its length in bytes. 0: there is
 * none to a RST, nor to a fragment without flags. */
size_t reset_write(uint8_t out[RESET_ROOM], const uint8_t *frame, const struct packet *packet,
                   const uint8_t mac[MAC]);

#endif
