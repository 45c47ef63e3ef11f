/* announce.h -- ARP for the VIPs, answered in user space: frame in, frame out. */
#ifndef ANNOUNCE_H
#define ANNOUNCE_H

#include "dr.h"
#include "table.h"

/* Turns a request for a VIP into its answer, in place, and tells what the frame was. */
enum dr_verdict announce_arp(const struct table *table, const uint8_t mac[MAC],
                             struct dr_frame *frame);

#endif
