/* state.h -- the layout of the one region of memory that outlives the process. */
#ifndef STATE_H
#define STATE_H

#include "director.h"

enum state_outcome {
    STATE_ADOPTED, /* what an earlier process left, mended */
    STATE_FRESH,   /* the region was all zeros */
    STATE_STALE,   /* anything else: dr_state_look() says what */
    STATE_TOO_SMALL,
    STATE_NO_MEMORY,
};

size_t state_size(const struct dr_limits *limits);

/* What a region that was made for these limits, or for others, holds. */
struct dr_state_look state_look(const void *region, size_t size, const struct dr_limits *limits);

/* Points the director's parts into the region. Of one of zeros, all must be. */
enum state_outcome state_map(struct director *director, void *region, size_t size,
                             const struct dr_limits *limits, uint64_t now_ns);

#endif
