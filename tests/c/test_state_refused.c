/* test_state_refused.c -- state that fits but must not be trusted: of another clock, or not whole.
 */
#include "world.h"

static enum state_outcome map_again(struct world *world, const struct dr_limits *limits)
{
    struct director director = {0};

    return state_map(&director, world->region, world->size, limits, start_ns);
}

/* Its times mean nothing here: another boot, for example. */
static void state_of_another_clock_is_stale(void)
{
    struct world world = world_new(8);
    struct dr_limits limits = world.limits;

    limits.clock++;
    CHECK(map_again(&world, &limits) == STATE_STALE);
    CHECK(map_again(&world, &world.limits) == STATE_ADOPTED);
    world_free(&world);
}

int main(void)
{
    RUN(state_of_another_clock_is_stale);
}
