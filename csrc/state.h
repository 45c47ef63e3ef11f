/* state.h -- the layout of the one region of memory that outlives the process. */
#ifndef STATE_H
#define STATE_H

#include "director.h"

enum state_outcome {
    STATE_ADOPTED, /* what an earlier process left */
    STATE_FRESH,   /* the region was all zeros */
    STATE_STALE, /* another layout, other limits, another boot, or left in the midst of a change */
    STATE_TOO_SMALL,
};

size_t state_size(const struct dr_limits *limits);

/* Points the director's parts into the region. */
enum state_outcome state_map(struct director *director, void *region, size_t size,
                             const struct dr_limits *limits, uint64_t now_ns);

#endif
