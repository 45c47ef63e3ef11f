/* rates.h -- how much comes in a second: kernel IPVS's estimator, to the digit.
 *
 * Every 2 s of its own time each service, each server and the total take a quarter of what is new
 * in place of a quarter of what was (net/netfilter/ipvs/ip_vs_est.c). */
#ifndef RATES_H
#define RATES_H

#include <stdbool.h>

#include "dr.h"

struct table;

/* Averages are fixed-point: connections and packets of 10 binary places, bytes of 5. */
struct estimator {
    uint64_t due_ns; /* 0: has not begun */
    struct dr_counters last;
    struct dr_counters average;
};

/* What everything together counted, and when to look at the estimators. */
struct totals {
    struct dr_counters in;
    struct estimator estimator;
};

struct rates_pass {
    uint64_t next_ns;     /* when the next one begins */
    uint64_t earliest_ns; /* seen in this one */
    uint32_t at;          /* the slot to go on with; 0: none is under way */
};

/* From now on, and from its present counters; what it had learnt before it keeps. */
void estimator_begin(struct estimator *estimator, const struct dr_counters *in, uint64_t now_ns);

/* The counters begin at 0, and so does the rate; the time of the next look stays. */
void estimator_zero(struct estimator *estimator, struct dr_counters *in);

/* Whatever bytes it had: after this it can be run. */
void estimator_mend(struct estimator *estimator, struct dr_counters *in, uint64_t now_ns);

/* Takes what is due; a frozen one (run_estimation=0) only lets time pass. */
void estimator_run(struct estimator *estimator, const struct dr_counters *in, bool frozen,
                   uint64_t now_ns);

struct dr_counters estimator_rates(const struct estimator *estimator);

/* True when nothing came lately and nothing is left to fade. */
bool estimator_is_quiet(const struct estimator *estimator, const struct dr_counters *in);

/* Runs those that are due, looking at `budget` slots; true when there are more to look at. */
bool rates_run(struct table *table, bool frozen, uint64_t now_ns, uint32_t budget);

#endif
