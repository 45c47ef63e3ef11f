/* director.h -- everything a decision depends on besides the frame and the time. */
#ifndef DIRECTOR_H
#define DIRECTOR_H

#include "connections.h"
#include "defense.h"
#include "dr.h"
#include "icmp.h"
#include "table.h"

enum {
    ANSWER_HEADROOM = 16, /* for what an I/O end puts before a frame; zeros */
    ANSWER_ROOM = ANSWER_HEADROOM + ICMP_ROOM,
};

struct sync;

enum changing {
    CHANGING_NOTHING,
    CHANGING_CONNECTIONS,
    CHANGING_TABLE,
};

struct director {
    struct table table;
    struct connections connections;
    struct dr_identity identity;
    struct dr_tuning tuning;
    struct defense defense;
    bool is_backup;    /* a backup daemon runs */
    struct sync *sync; /* NULL while no master daemon runs */
    struct dr_sync_stats sync_stats;
    struct dr_stats *stats;
    uint64_t frame;     /* the number of the one that is being decided on */
    uint32_t *changing; /* enum changing: what in the state region may contradict itself now */
    struct dr_adoption adoption;
    struct icmp_limiter limiter;
    struct fragments *fragments;
    struct packet first_fragment; /* whose held companions are to be sent now */
    bool has_first_fragment;
    struct trace *trace;  /* NULL: nothing is ever recorded */
    uint32_t tracing;     /* how many want records */
    uint32_t trace_quiet; /* so many frames on, nobody who watches wants to look at */
    bool is_recording;    /* the present frame's decision */
    uint8_t *answer;      /* ANSWER_ROOM bytes, of the caller's, for what is said to this frame */
};

#endif
