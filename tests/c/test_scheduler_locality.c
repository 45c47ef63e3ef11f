/* test_scheduler_locality.c -- lblc and lblcr with many destinations: a service on one VIP, which
 * is what frames can reach, has only one; and the bounds of what they remember. */
#include "schedulers/locality.h"
#include "world.h"

enum { HOUR_S = 3600, DAY_S = 24 * HOUR_S };

static const uint32_t start_s = 1000;

static struct world world_of(const char *name)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, name);

    add_service(&world, web);
    for (uint8_t number = 1; number <= 3; number++)
        add_server(&world, web, number, 1);
    return world;
}

static struct locality *memory_of(struct world *world)
{
    return scheduler_memory(&world->director.table, only_service(world));
}

static struct flow flow_to(uint32_t destination)
{
    struct flow flow = flow_from(1000, 80);

    memcpy(flow.address + 12, &destination, sizeof(destination));
    return flow;
}

/* The number of the server that is picked, which gets the connection. */
static int connect_to(struct world *world, uint32_t destination, uint32_t now_s)
{
    struct service *service = only_service(world);
    struct flow flow = flow_to(destination);
    struct server *server = scheduler_of(service->config.scheduler)
                                ->pick(&world->director.table, service, &flow, now_s);

    CHECK(server);
    server->active++;
    return server->config.address[15] - 10;
}

static void forget_connections(struct world *world)
{
    for (uint32_t slot = 0; slot < world->director.table.server_room; slot++)
        world->director.table.servers[slot].active = 0;
}

/* What is linked, what is counted and what is free must agree. */
static void check(struct locality *locality)
{
    uint32_t entries = 0;
    uint32_t members = 0;

    for (uint32_t bucket = 0; bucket < LOCALITY_BUCKETS; bucket++)
        for (uint32_t i = locality->buckets[bucket]; i; i = locality->entries[i].next) {
            uint32_t in_set = 0;
            for (uint32_t m = locality->entries[i].first; m; m = locality->members[m].next)
                in_set++;
            CHECK(in_set == locality->entries[i].members);
            members += in_set;
            entries++;
        }
    CHECK(entries == locality->count);
    for (uint32_t i = locality->free_entry; i; i = locality->entries[i].next)
        entries++;
    for (uint32_t m = locality->free_member; m; m = locality->members[m].next)
        members++;
    CHECK(entries == locality->fresh_entry - 1);
    CHECK(members == locality->fresh_member - 1);
}

static void each_destination_has_a_server_of_its_own(void)
{
    static const char *const names[] = {"lblc", "lblcr"};

    for (int i = 0; i < 2; i++) {
        struct world world = world_of(names[i]);
        int first[30];
        for (uint32_t d = 0; d < 30; d++)
            first[d] = connect_to(&world, d, start_s);
        forget_connections(&world);
        for (uint32_t d = 0; d < 30; d++) {
            CHECK(first[d] == 3 - (int)(d % 3));
            CHECK(connect_to(&world, d, start_s) == first[d]);
            forget_connections(&world);
        }
        CHECK(memory_of(&world)->count == 30);
        check(memory_of(&world));
        world_free(&world);
    }
}

static void a_set_grows_by_what_its_servers_cannot_take(void)
{
    struct world world = world_of("lblcr");
    static const int picks[] = {3, 3, 2, 2, 1, 1, 1};

    for (int i = 0; i < 7; i++)
        CHECK(connect_to(&world, 7, start_s) == picks[i]);
    CHECK(memory_of(&world)->entries[1].members == 3);
    check(memory_of(&world));
    world_free(&world);
}

static void no_more_destinations_than_fit_are_remembered(void)
{
    struct world world = world_of("lblc");
    struct locality *locality = memory_of(&world);

    for (uint32_t d = 0; d < LOCALITY_MOST + 10; d++)
        connect_to(&world, d, start_s);
    CHECK(locality->count == LOCALITY_MOST);
    struct flow left_out = flow_to(LOCALITY_MOST);
    CHECK(!locality_find(locality, left_out.address));
    check(locality);
    world_free(&world);
}

/* (24576 - 16384) * 4 / 3 of them are wanted, at most 8192, and a started bucket is finished. */
static void room_is_made_of_what_was_unused_for_six_minutes(void)
{
    struct world world = world_of("lblc");
    struct locality *locality = memory_of(&world);

    for (uint32_t d = 0; d < LOCALITY_MOST; d++)
        connect_to(&world, d, start_s);
    connect_to(&world, 0, start_s + 359);
    CHECK(locality->count == LOCALITY_MOST);
    connect_to(&world, 0, start_s + 360);
    CHECK(locality->count <= LOCALITY_MOST - 8192);
    CHECK(locality->count > LOCALITY_MOST - 8192 - 200);
    connect_to(&world, 0, start_s + 420);
    CHECK(locality->count <= 16384);
    uint32_t kept = locality->count;
    for (uint32_t minute = 8; minute < 24 * 60; minute++)
        connect_to(&world, 0, start_s + minute * 60);
    CHECK(locality->count == kept);
    for (uint32_t minute = 24 * 60; minute < 24 * 60 + 40; minute++)
        connect_to(&world, 0, start_s + minute * 60);
    CHECK(locality->count == 1);
    check(locality);
    world_free(&world);
}

static void no_more_room_is_made_than_there_is_need_for(void)
{
    struct world world = world_of("lblc");
    struct locality *locality = memory_of(&world);

    for (uint32_t d = 0; d < 17884; d++)
        connect_to(&world, d, start_s);
    connect_to(&world, 0, start_s + 360);
    CHECK(locality->count <= 17884 - 2000); /* (17884 - 16384) * 4 / 3 */
    CHECK(locality->count > 17884 - 2000 - 200);
    check(locality);
    world_free(&world);
}

static void what_was_forgotten_is_room_again(void)
{
    struct world world = world_of("lblcr");
    struct locality *locality = memory_of(&world);

    for (uint32_t day = 0; day < 4; day++) {
        for (uint32_t d = 0; d < LOCALITY_MOST; d++)
            connect_to(&world, d, start_s + day * 2 * DAY_S);
        CHECK(locality->count == LOCALITY_MOST);
        CHECK(locality->fresh_entry == LOCALITY_MOST + 1);
    }
    check(locality);
    world_free(&world);
}

/* Silence of any length, and a clock that begins again, cost one sweep of everything at most. */
static void a_jump_of_the_clock_forgets_everything_and_goes_on(void)
{
    static const uint32_t jumps[] = {365 * DAY_S, UINT32_MAX - 5, 0};
    struct world world = world_of("lblc");
    struct locality *locality = memory_of(&world);

    for (int i = 0; i < 3; i++) {
        for (uint32_t d = 0; d < 1000; d++)
            connect_to(&world, d, jumps[i]);
        CHECK(locality->count == 1000);
        CHECK(jumps[i] - locality->swept_s < 60);
        CHECK(locality->sweeps >= 1 && locality->sweeps <= 30);
    }
    check(locality);
    world_free(&world);
}

/* A set never has a server twice, so only very many servers could use up the members. */
static void without_room_for_a_member_picks_go_on(void)
{
    struct world world = world_of("lblcr");
    struct locality *locality = memory_of(&world);

    connect_to(&world, 7, start_s);
    locality->fresh_member = LOCALITY_MEMBERS + 1;
    CHECK(connect_to(&world, 7, start_s) == 3);
    CHECK(connect_to(&world, 7, start_s) == 2);
    CHECK(connect_to(&world, 8, start_s) == 1);
    CHECK(locality->count == 2);
    world_free(&world);
}

int main(void)
{
    RUN(each_destination_has_a_server_of_its_own);
    RUN(a_set_grows_by_what_its_servers_cannot_take);
    RUN(no_more_destinations_than_fit_are_remembered);
    RUN(room_is_made_of_what_was_unused_for_six_minutes);
    RUN(no_more_room_is_made_than_there_is_need_for);
    RUN(what_was_forgotten_is_room_again);
    RUN(a_jump_of_the_clock_forgets_everything_and_goes_on);
    RUN(without_room_for_a_member_picks_go_on);
}
