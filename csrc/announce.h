/* announce.h -- ARP and neighbour discovery for the VIPs, answered in user space: frame in, frame
 * out. */
#ifndef ANNOUNCE_H
#define ANNOUNCE_H

#include "dr.h"
#include "table.h"

enum { ANNOUNCE_ROOM = LINK_HEADER + 40 + 32 };

/* Turns a request for a VIP into its answer, in place, and tells what the frame was. */
enum dr_verdict announce_arp(const struct table *table, const uint8_t mac[MAC],
                             struct dr_frame *frame, const struct packet *packet);

/* Writes the advertisement that answers a solicitation for a VIP (RFC 4861 section 7.2.4) and
 * returns its length in bytes, or 0 when it was for something else. */
size_t announce_nd(uint8_t out[ANNOUNCE_ROOM], const struct table *table, const uint8_t mac[MAC],
                   const uint8_t *frame, const struct packet *packet);

#endif
