/* forward_icmp.h -- errors go where the connection goes that they are about; echo requests and
 * solicitations for a VIP are answered. */
#ifndef FORWARD_ICMP_H
#define FORWARD_ICMP_H

#include "director.h"

enum dr_verdict forward_icmp(struct director *director, struct dr_frame *frame,
                             const struct packet *packet, uint64_t now_ns);

#endif
