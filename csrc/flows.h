/* flows.h -- which real server a flow went to last, for a fixed number of flows: a replay tells
 * which of them changed. A full set forgets in turn. */
#ifndef FLOWS_H
#define FLOWS_H

#include <stdbool.h>

#include "dr_trace.h"

struct flow_server {
    uint64_t name; /* a hash of 64 bits stands for the flow; 0: free */
    uint8_t server[16];
};

struct flows {
    struct flow_server *entries;
    uint32_t mask;
    uint64_t known;
    uint64_t forgotten;
};

int flows_open(struct flows *flows, uint32_t room); /* a power of two, 4 at least */
void flows_close(struct flows *flows);

/* Remembers the record's server. True when the flow went to another one before: *before. */
bool flows_note(struct flows *flows, const struct dr_record *record, uint8_t before[16]);

#endif
