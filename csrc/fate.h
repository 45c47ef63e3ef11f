/* fate.h -- what becomes of fragments that carry no ports: what became of their first one. */
#ifndef FATE_H
#define FATE_H

#include "director.h"

/* After a first fragment; `server` is NULL if it went to none. */
__attribute__((cold)) void fate_learn(struct director *director, const struct packet *packet,
                                      const struct server *server, enum dr_verdict verdict,
                                      uint64_t now_ns);

/* Decides a later one, or holds it until the first has come. */
enum dr_verdict fate_follow(struct director *director, struct dr_frame *frame,
                            const struct packet *packet, uint64_t now_ns);

/* One that was held for the frame just decided, decided too; NULL: none (any more). */
struct dr_frame *fate_release(struct director *director, uint64_t now_ns);

#endif
