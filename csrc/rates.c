/* rates.c -- the estimators, and the pass that visits them. */
#include "rates.h"

#include "table.h"

enum {
    COUNT_SHIFT = 9,
    BYTES_SHIFT = 4,
    MOST_BITS = 56,     /* of a counter, and of an average */
    MOST_NEW_BITS = 44, /* of what is new in a period */
};

static const uint64_t period_ns = 2000000000;
static const uint64_t pass_ns = 40000000; /* between two passes, as the kernel's threads */

/* ---- One estimator ---- */

static uint64_t moved(uint64_t average, uint64_t rate)
{
    return average + (uint64_t)((int64_t)(rate - average) >> 2);
}

static void take(struct estimator *estimator, const struct dr_counters *in)
{
    struct dr_counters *last = &estimator->last;
    struct dr_counters *average = &estimator->average;

    average->connections =
        moved(average->connections, (in->connections - last->connections) << COUNT_SHIFT);
    average->packets = moved(average->packets, (in->packets - last->packets) << COUNT_SHIFT);
    average->bytes = moved(average->bytes, (in->bytes - last->bytes) << BYTES_SHIFT);
    *last = *in;
}

void estimator_begin(struct estimator *estimator, const struct dr_counters *in, uint64_t now_ns)
{
    estimator->due_ns = now_ns + period_ns;
    estimator->last = *in;
}

void estimator_zero(struct estimator *estimator, struct dr_counters *in)
{
    *in = (struct dr_counters){0};
    estimator->last = *in;
    estimator->average = *in;
}

static bool is_possible(uint64_t in, uint64_t last, uint64_t average)
{
    return last <= in && in - last < UINT64_C(1) << MOST_NEW_BITS && average >> MOST_BITS == 0;
}

void estimator_mend(struct estimator *estimator, struct dr_counters *in, uint64_t now_ns)
{
    const struct dr_counters *last = &estimator->last;
    const struct dr_counters *average = &estimator->average;

    if ((in->connections | in->packets | in->bytes) >> MOST_BITS)
        *in = (struct dr_counters){0};
    if (!is_possible(in->connections, last->connections, average->connections) ||
        !is_possible(in->packets, last->packets, average->packets) ||
        !is_possible(in->bytes, last->bytes, average->bytes))
        *estimator = (struct estimator){.last = *in};
    if (estimator->due_ns > now_ns + period_ns)
        estimator->due_ns = now_ns + period_ns;
}

void estimator_run(struct estimator *estimator, const struct dr_counters *in, bool frozen,
                   uint64_t now_ns)
{
    if (estimator->due_ns == 0)
        estimator_begin(estimator, in, now_ns);
    while (estimator->due_ns <= now_ns) {
        /* After a long sleep nothing is left that could fade. */
        if (frozen || estimator_is_quiet(estimator, in)) {
            estimator->due_ns += (now_ns - estimator->due_ns) / period_ns * period_ns;
        } else {
            take(estimator, in);
        }
        estimator->due_ns += period_ns;
    }
}

struct dr_counters estimator_rates(const struct estimator *estimator)
{
    const struct dr_counters *average = &estimator->average;

    return (struct dr_counters){
        .connections = (average->connections + 0x1ff) >> (COUNT_SHIFT + 1),
        .packets = (average->packets + 0x1ff) >> (COUNT_SHIFT + 1),
        .bytes = (average->bytes + 0xf) >> (BYTES_SHIFT + 1),
    };
}

bool estimator_is_quiet(const struct estimator *estimator, const struct dr_counters *in)
{
    const struct dr_counters *average = &estimator->average;

    return in->packets == estimator->last.packets &&
           in->connections == estimator->last.connections && average->packets == 0 &&
           average->connections == 0 && average->bytes == 0;
}

/* ---- All of them ---- */

static void look(struct rates_pass *pass, struct estimator *estimator, const struct dr_counters *in,
                 bool frozen, uint64_t now_ns)
{
    estimator_run(estimator, in, frozen, now_ns);
    if (estimator->due_ns < pass->earliest_ns)
        pass->earliest_ns = estimator->due_ns;
}

/* The slots of a pass are the total, the services, and the servers up to the last that was used. */
static void look_at(struct table *table, uint32_t slot, bool frozen, uint64_t now_ns)
{
    struct rates_pass *pass = &table->pass;

    if (slot == 0) {
        look(pass, &table->totals->estimator, &table->totals->in, frozen, now_ns);
    } else if (slot <= table->service_top) {
        struct service *service = &table->services[slot - 1];
        if (service->use == SLOT_LISTED)
            look(pass, &service->estimator, &service->in, frozen, now_ns);
    } else {
        struct server *server = &table->servers[slot - 1 - table->service_top];
        if (server->use == SLOT_LISTED)
            look(pass, &server->estimator, &server->in, frozen, now_ns);
    }
}

bool rates_run(struct table *table, bool frozen, uint64_t now_ns, uint32_t budget)
{
    struct rates_pass *pass = &table->pass;
    const uint32_t end = 1 + table->service_top + table->server_top;

    if (pass->at == 0 && now_ns < pass->next_ns)
        return false;
    if (pass->at == 0)
        pass->earliest_ns = now_ns + period_ns;
    while (pass->at < end && budget > 0) {
        look_at(table, pass->at++, frozen, now_ns);
        budget--;
    }
    if (pass->at < end)
        return true;
    pass->at = 0;
    pass->next_ns = now_ns + pass_ns;
    if (pass->next_ns < pass->earliest_ns)
        pass->next_ns = pass->earliest_ns;
    return false;
}
