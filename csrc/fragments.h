/* fragments.h -- later fragments follow the first: only that one carries the ports. Nothing is
 * reassembled; those that come before the first wait in a bounded store. */
#ifndef FRAGMENTS_H
#define FRAGMENTS_H

#include "dr.h"
#include "packet.h"

struct fragments;

struct fragments *fragments_new(void);
void fragments_free(struct fragments *fragments);

/* The first fragment of a packet went to server `slot`; the later ones follow for 30 s. */
void fragments_learn(struct fragments *fragments, const struct packet *packet, uint32_t slot,
                     uint32_t now_s);

/* The server slot of a later fragment's packet, or NO_SLOT when its first has not come yet. */
uint32_t fragments_find(const struct fragments *fragments, const struct packet *packet,
                        uint32_t now_s);

/* Keeps a copy until the first one comes; false when there is no room. */
bool fragments_hold(struct fragments *fragments, const struct dr_frame *frame,
                    const struct packet *packet, uint32_t now_s);

/* A kept fragment of the same packet, oldest first; NULL when there is none (any more). It stays
 * valid until the next hold. */
struct dr_frame *fragments_release(struct fragments *fragments, const struct packet *packet,
                                   uint32_t now_s);

#endif
