/* deliver.h -- the way from here to a real server. */
#ifndef DELIVER_H
#define DELIVER_H

#include "director.h"

/* Sends the frame on, or tells the client why not. `verdict` is what it is called when it went. */
enum dr_verdict deliver(struct director *director, struct dr_frame *frame,
                        const struct packet *packet, const struct server *server,
                        enum dr_verdict verdict, uint64_t now_ns);

/* Counts what comes in for a server, whatever becomes of it. */
void deliver_count(struct director *director, struct server *server, const struct packet *packet);

#endif
