/* test_schedulers.c -- the corners of each scheduler; the sequences are test_schedulers.py's. */
#include <errno.h>

#include "world.h"

/* Those that look at nothing but the list, the weights and the counters. */
static const char *const names[] = {"rr", "wrr", "lc", "wlc"};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

/* The number of the server that is picked, 0 when there is none. */
static int pick(struct world *world)
{
    struct service *service = only_service(world);
    struct flow flow = flow_from(1000, 80);
    const struct scheduler *scheduler = scheduler_of(service->config.scheduler);
    struct server *server = scheduler->pick(&world->director.table, service, &flow, 0);

    return server ? server->config.address[15] - 10 : 0;
}

static struct world world_scheduled_by(const char *name, const uint32_t *weights, uint8_t count)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, name);

    add_service(&world, web);
    for (uint8_t i = 0; i < count; i++)
        add_server(&world, web, (uint8_t)(i + 1), weights[i]);
    return world;
}

static struct server *numbered(struct world *world, uint8_t number)
{
    for (uint32_t slot = 0; slot < world->director.table.server_room; slot++) {
        struct server *server = &world->director.table.servers[slot];
        if (server->use == SLOT_LISTED && server->config.address[15] == 10 + number)
            return server;
    }
    CHECK(!"a server of that number");
    return NULL;
}

static void each_is_found_by_its_name_and_no_other_is(void)
{
    int number = 0;

    for (; scheduler_of(number); number++)
        CHECK(scheduler_find(scheduler_of(number)->name) == number);
    CHECK(number >= NAMES);
    CHECK(scheduler_find("") == -ENOENT);
    CHECK(scheduler_find("rrr") == -ENOENT);
    CHECK(scheduler_of(-1) == NULL);
    CHECK(scheduler_of(0xff) == NULL);
}

/* Services in a state file name their scheduler by number. */
static void the_numbers_never_change(void)
{
    for (int number = 0; number < NAMES; number++)
        CHECK(scheduler_find(names[number]) == number);
}

static void none_picks_where_there_is_nothing_to_pick(void)
{
    static const uint32_t zero[] = {0, 0, 0};

    for (int number = 0; number < NAMES; number++) {
        struct world empty = world_scheduled_by(names[number], zero, 0);
        struct world quiet = world_scheduled_by(names[number], zero, 3);
        for (int i = 0; i < 5; i++)
            CHECK(pick(&empty) == 0 && pick(&quiet) == 0);
        world_free(&empty);
        world_free(&quiet);
    }
}

static void none_picks_or_hangs_when_all_are_overloaded(void)
{
    static const uint32_t weights[] = {5, 3, 2};

    for (int number = 0; number < NAMES; number++)
        for (int before = 0; before < 12; before++) {
            struct world world = world_scheduled_by(names[number], weights, 3);
            for (int i = 0; i < before; i++)
                CHECK(pick(&world) != 0);
            for (uint8_t i = 1; i <= 3; i++)
                numbered(&world, i)->overloaded = 1;
            for (int i = 0; i < 5; i++)
                CHECK(pick(&world) == 0);
            numbered(&world, 2)->overloaded = 0;
            for (int i = 0; i < 5; i++)
                CHECK(pick(&world) == 2);
            world_free(&world);
        }
}

static void the_only_usable_server_gets_everything(void)
{
    static const uint32_t weights[] = {0, 7, 0};

    for (int number = 0; number < NAMES; number++) {
        struct world world = world_scheduled_by(names[number], weights, 3);
        for (int i = 0; i < 20; i++)
            CHECK(pick(&world) == 2);
        world_free(&world);
    }
}

static void the_largest_weights_overflow_nothing(void)
{
    static const uint32_t weights[] = {UINT32_MAX, 1, UINT32_MAX};

    for (int number = 0; number < NAMES; number++) {
        struct world world = world_scheduled_by(names[number], weights, 3);
        numbered(&world, 3)->active = 100000;
        numbered(&world, 2)->active = 1;
        for (int i = 0; i < 5; i++)
            CHECK(pick(&world) != 0);
        world_free(&world);
    }
}

static void one_active_connection_weighs_256_inactive_ones(void)
{
    static const uint32_t weights[] = {1, 1};

    for (int number = scheduler_find("lc"); number <= scheduler_find("wlc"); number++) {
        struct world world = world_scheduled_by(names[number], weights, 2);
        numbered(&world, 1)->active = 1;
        numbered(&world, 2)->inactive = 255;
        CHECK(pick(&world) == 2);
        numbered(&world, 2)->inactive = 256;
        CHECK(pick(&world) == 2); /* a tie: the newest wins */
        numbered(&world, 2)->inactive = 257;
        CHECK(pick(&world) == 1);
        world_free(&world);
    }
}

static void another_scheduler_starts_afresh_over_the_same_servers(void)
{
    static const uint32_t weights[] = {2, 1};
    struct world world = world_scheduled_by("rr", weights, 2);
    struct dr_service edited = service_on(PROTOCOL_TCP, 80, "wrr");

    CHECK(pick(&world) == 2);
    CHECK(change(&world, DR_EDIT_SERVICE, edited, (struct dr_server){0}, start_ns) == 0);
    CHECK(pick(&world) == 1 && pick(&world) == 2 && pick(&world) == 1);
    world_free(&world);
}

int main(void)
{
    RUN(each_is_found_by_its_name_and_no_other_is);
    RUN(the_numbers_never_change);
    RUN(none_picks_where_there_is_nothing_to_pick);
    RUN(none_picks_or_hangs_when_all_are_overloaded);
    RUN(the_only_usable_server_gets_everything);
    RUN(the_largest_weights_overflow_nothing);
    RUN(one_active_connection_weighs_256_inactive_ones);
    RUN(another_scheduler_starts_afresh_over_the_same_servers);
}
