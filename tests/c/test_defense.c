/* Defences by what is free of the host's memory, which only the loop can ask for. */
#include "defense.h"

#include "world.h"

static const struct dr_tuning automatic = {
    .secure_tcp = 1, .drop_entry = 2, .drop_packet = 1, .am_droprate = 10, .amemthresh = 1024};

static struct defense with_pages(uint64_t pages, const struct dr_tuning *tuning)
{
    struct world world = world_new(100);
    struct defense defense = {.free_pages = pages};

    defense_adjust(&defense, tuning, &world.director.connections);
    world_free(&world);
    return defense;
}

static void with_enough_memory_nothing_is_in_force(void)
{
    static const uint64_t enough[] = {0, 1024, 1025, UINT64_MAX};

    for (size_t i = 0; i < sizeof(enough) / sizeof(enough[0]); i++) {
        struct defense defense = with_pages(enough[i], &automatic);
        CHECK(!defense.is_secure && !defense.drops_entries && defense.drop_rate == 0);
    }
}

static void the_less_memory_the_more_is_dropped(void)
{
    static const struct {
        uint64_t pages;
        uint32_t rate;
    } rows[] = {{1023, 1024}, {1022, 512}, {768, 4}, {512, 2}, {511, 1}, {1, 1}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct defense defense = with_pages(rows[i].pages, &automatic);
        CHECK(defense.is_secure && defense.drops_entries);
        CHECK(defense.drop_rate == rows[i].rate);
    }
}

static void what_is_on_is_on_whatever_there_is(void)
{
    static const struct dr_tuning on = {
        .secure_tcp = 3, .drop_entry = 3, .drop_packet = 3, .am_droprate = 10, .amemthresh = 1024};
    static const struct dr_tuning off = {.am_droprate = 10, .amemthresh = 1024};

    for (uint64_t pages = 1; pages < 4096; pages += 1000) {
        struct defense defense = with_pages(pages, &on);
        CHECK(defense.is_secure && defense.drops_entries && defense.drop_rate == 10);
        defense = with_pages(pages, &off);
        CHECK(!defense.is_secure && !defense.drops_entries && defense.drop_rate == 0);
    }
}

/* The loop must not pause for long: a second's share is looked at in slices. */
static void a_round_may_be_cut_in_slices(void)
{
    struct world world = world_with((struct dr_limits){.services = 8,
                                                       .servers = 8,
                                                       .connections = 320,
                                                       .fragments = 4,
                                                       .seeds = {0x5eed7, 0x7deed}});
    struct director *director = &world.director;
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    static const struct dr_tuning tuning = {.drop_entry = 3};
    uint32_t tick = tick_of(start_ns);
    int slices = 1;

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    connections_set_share(&director->connections, 100);
    for (uint16_t port = 1001; port <= 1320; port++) {
        struct made syn = tcp_frame(port, TCP_SYN);
        CHECK(forward_made(&world, &syn, start_ns) == DR_FORWARDED);
    }
    while (
        defense_run(&director->defense, &tuning, &director->connections, &director->table, tick, 3))
        slices++;
    CHECK(slices == 4);
    CHECK(director->connections.book->count == 310);
    CHECK(!defense_run(&director->defense, &tuning, &director->connections, &director->table, tick,
                       UINT32_MAX));
    CHECK(director->connections.book->count == 310);
    world_free(&world);
}

int main(void)
{
    RUN(with_enough_memory_nothing_is_in_force);
    RUN(the_less_memory_the_more_is_dropped);
    RUN(what_is_on_is_on_whatever_there_is);
    RUN(a_round_may_be_cut_in_slices);
}
