/* answer.h -- frames of the director's own, each in the place of the one that it answers. */
#ifndef ANSWER_H
#define ANSWER_H

#include "director.h"

/* An ICMP error to the client, as often as that is allowed; `mtu` counts for ICMP_TOO_BIG. */
__attribute__((cold)) void answer_error(struct director *director, struct dr_frame *frame,
                                        const struct packet *packet, enum icmp_error error,
                                        uint32_t mtu, uint64_t now_ns);

/* To the client of a connection that has just been ended: DR_RESET, or DR_DRAINED when there is no
 * answer to its packet. It is told once, since its next packet has no connection. */
__attribute__((cold)) enum dr_verdict answer_reset(struct director *director,
                                                   struct dr_frame *frame,
                                                   const struct packet *packet, uint64_t now_ns);

/* The advertisement, if it is for a VIP that is asked. */
enum dr_verdict answer_solicitation(struct director *director, struct dr_frame *frame,
                                    const struct packet *packet);

#endif
