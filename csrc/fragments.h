/* fragments.h -- later fragments share the fate of the first: only that one carries the ports.
 * Nothing is reassembled; those that come before the first wait in a bounded store. */
#ifndef FRAGMENTS_H
#define FRAGMENTS_H

#include "dr.h"
#include "packet.h"

struct fragments;

/* What became of a first fragment, and which server slot counted it (or NO_SLOT). */
struct fate {
    enum dr_verdict verdict; /* DR_FRAGMENT_HELD: it has not come yet */
    uint32_t slot;
};

/* Room for so many that wait; packets are remembered four times as many. */
struct fragments *fragments_new(uint32_t room, const uint64_t seeds[2]);
void fragments_free(struct fragments *fragments);

/* After the first fragment of a packet; the later ones follow for 30 s. */
void fragments_learn(struct fragments *fragments, const struct packet *packet, struct fate fate,
                     uint32_t now_s);

/* The fate of a later fragment. A packet is forgotten when as many bytes have followed as it has,
 * or as any may have: copies, overlaps and a packet without an end wait in vain. */
struct fate fragments_follow(struct fragments *fragments, const struct packet *packet,
                             uint32_t now_s);

/* Keeps a copy until the first one comes; false when there is no room. */
bool fragments_hold(struct fragments *fragments, const struct dr_frame *frame,
                    const struct packet *packet, uint32_t now_s);

/* A kept fragment of the same packet, oldest first; NULL when there is none (any more). It stays
 * valid until the next hold. */
struct dr_frame *fragments_release(struct fragments *fragments, const struct packet *packet,
                                   uint32_t now_s);

#endif
