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
    if (cursor->current_weight <= 0 || cursor->current_weight > cursor->max_weight)
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

/* From `slot` on to the end of the list. */
static struct server *first_of_weight(struct table *table, uint32_t slot, int64_t weight)
{
    for (; slot != NO_SLOT; slot = table->servers[slot].next) {
        struct server *server = &table->servers[slot];
        if (!server->overloaded && server->config.weight >= weight)
            return server;
    }
    return NULL;
}

static int64_t heaviest(const struct table *table, const struct service *service)
{
    int64_t most = 0;

    for (struct server *server = scheduler_first(table, service); server;
         server = scheduler_next(table, server))
        if (!server->overloaded && server->config.weight > most)
            most = server->config.weight;
    return most;
}

/* The weight asked for in the first round, from this one down, that finds somebody. */
static int64_t lowered(int64_t weight, int64_t most, int64_t divisor)
{
    int64_t above = weight - most;

    return above <= 0 ? weight : weight - (above + divisor - 1) / divisor * divisor;
}

/* No server is left that may be picked. The kernel goes through all rounds to find out, and ends
 * at the head; from a cursor in the last round it goes through a whole cycle, back to it. */
static void give_up(struct cursor *cursor)
{
    if (cursor->current_weight > cursor->divisor) {
        cursor->current_weight = cursor->max_weight;
        cursor->at = NO_SLOT;
    } else if (cursor->at == NO_SLOT) {
        cursor->current_weight = cursor->max_weight;
    } else {
        cursor->current_weight = (cursor->max_weight - 1) % cursor->divisor + 1;
    }
}

/* Goes on behind the cursor, and then from the head with a weight a divisor lower, over and over.
 * Rounds that find nobody are not walked but counted: between two weights there may be two
 * billion. Every weight being a multiple of the divisor, the last round takes whoever can be. */
static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    (void)now_s;
    struct cursor *cursor = &service->cursor;
    const uint32_t last = cursor->at;

    if (cursor->max_weight == 0)
        return NULL;
    uint32_t behind = last == NO_SLOT ? service->head : table->servers[last].next;
    struct server *server = first_of_weight(table, behind, cursor->current_weight);
    if (!server) {
        int64_t most = heaviest(table, service);
        if (most == 0) {
            give_up(cursor);
            return NULL;
        }
        int64_t next = cursor->current_weight - cursor->divisor;
        cursor->current_weight =
            lowered(next > 0 ? next : cursor->max_weight, most, cursor->divisor);
        server = first_of_weight(table, service->head, cursor->current_weight);
    }
    cursor->at = (uint32_t)(server - table->servers);
    return server;
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
