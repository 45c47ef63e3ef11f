/* director.h -- everything a decision depends on besides the frame and the time. */
#ifndef DIRECTOR_H
#define DIRECTOR_H

#include "connections.h"
#include "dr.h"
#include "table.h"

struct director {
    struct table table;
    struct connections connections;
    struct dr_identity identity;
    struct dr_stats *stats;
    uint32_t *changing; /* 1 while what the state region holds may contradict itself */
};

#endif
