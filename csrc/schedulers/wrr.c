/* wrr.c -- weighted round robin: rounds over the list, each asking for a weight one divisor lower
 * than the round before, so that in a cycle each server is picked in proportion to its weight.
 *
 * The order is the kernel's to the pick, including that any change of the servers sends the cursor
 * to the head of the list and keeps the current weight. */
#include "schedulers.h"

static int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Weights of overloaded servers count here; only the pick passes those servers over. */
static void measure(struct table *table, struct service *service)
{
    struct cursor *cursor = &service->cursor;
    int64_t divisor = 0;
    int64_t max = 0;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server)) {
        divisor = greatest_common_divisor(divisor, server->config.weight);
        if (server->config.weight > max)
            max = server->config.weight;
    }
    cursor->divisor = divisor > 0 ? divisor : 1;
    cursor->max_weight = max > 0 ? max - (cursor->divisor - 1) : 0;
}

static void start(struct table *table, struct service *service)
{
    measure(table, service);
    service->cursor.at = NO_SLOT;
    service->cursor.current_weight = service->cursor.max_weight;
}

/* The cursor of a service that comes out of a state file, where it may have been damaged. */
static void attach(struct table *table, struct service *service)
{
    struct cursor *cursor = &service->cursor;

    measure(table, service);
    if (cursor->current_weight < 0 || cursor->current_weight > cursor->max_weight)
        cursor->current_weight = cursor->max_weight;
}

static void changed(struct table *table, struct service *service, struct server *server)
{
    (void)server;
    struct cursor *cursor = &service->cursor;

    measure(table, service);
    cursor->at = NO_SLOT;
    if (cursor->current_weight > cursor->max_weight || cursor->current_weight == 0)
        cursor->current_weight = cursor->max_weight;
    else if (cursor->divisor > 1)
        cursor->current_weight = cursor->current_weight / cursor->divisor * cursor->divisor + 1;
}

/* Goes on behind the cursor; at the end of the list lowers the weight asked for and starts at the
 * head. `stop` is set in the last useful round: coming back to it, every server is overloaded. */
static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    (void)now_s;
    struct cursor *cursor = &service->cursor;
    const uint32_t last = cursor->at;
    uint32_t stop = NO_SLOT;
    bool last_pass = false;
    bool restarted = false;

    if (cursor->max_weight == 0)
        return NULL;

    uint32_t slot = last == NO_SLOT ? service->head : table->servers[last].next;
    for (;;) {
        for (; slot != NO_SLOT; slot = table->servers[slot].next) {
            struct server *server = &table->servers[slot];
            bool fits = !server->overloaded && server->config.weight >= cursor->current_weight;
            if (fits || slot == stop) {
                cursor->at = slot;
                return fits ? server : NULL;
            }
        }
        cursor->current_weight -= cursor->divisor;
        if (cursor->current_weight <= 0) {
            cursor->current_weight = cursor->max_weight;
            if (last_pass || last == NO_SLOT) {
                cursor->at = NO_SLOT;
                return NULL;
            }
            restarted = true;
        }
        last_pass = cursor->current_weight <= cursor->divisor;
        if (last_pass && restarted)
            stop = last;
        slot = service->head;
    }
}

const struct scheduler scheduler_wrr = {
    .name = "wrr",
    .attach = attach,
    .start = start,
    .added = changed,
    .removed = changed,
    .edited = changed,
    .pick = pick,
};
