/* record.h -- what a record says of a frame, of its service, and of the servers in question. */
#ifndef RECORD_H
#define RECORD_H

#include "dr_trace.h"
#include "table.h"
#include "watchers.h"

/* Before the decision, of a frame as it came; `number` is its own. */
void record_begin(struct dr_record *record, uint64_t number, const struct dr_frame *frame,
                  struct sight sight, uint64_t now_ns);
/* After it, of what became of the frame. */
void record_end(struct dr_record *record, const struct dr_frame *frame, struct sight sight,
                enum dr_verdict verdict);

void record_service(struct dr_record *record, const struct service *service);
void record_server(struct dr_record *record, const struct server *server);

/* Before a scheduler picks a server, and after it has; NULL: none. */
void record_picking(struct dr_record *record, const struct table *table,
                    const struct service *service);
void record_picked(struct dr_record *record, const struct table *table,
                   const struct service *service, const struct server *server);

#endif
