/* test_state.c -- the region: made fresh, adopted at another address, refused. */
#include "state.h"

#include "invariants.h"
#include "world.h"

static struct world world_with_a_connection(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct made syn = tcp_frame(1000, 0x02);

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    CHECK(forward_made(&world, &syn, start_ns) == DR_FORWARDED);
    return world;
}

static enum state_outcome map_again(struct world *world, const struct dr_limits *limits)
{
    struct director director = {0};

    return state_map(&director, world->region, world->size, limits, start_ns);
}

static void a_region_of_zeros_is_made_fresh(void)
{
    struct world world = world_new(8);

    CHECK(world.director.connections.book->count == 0);
    CHECK(world.director.connections.book->timeouts.tcp_s == 900);
    CHECK(world.director.connections.book->timeouts.tcp_fin_s == 120);
    CHECK(world.director.connections.book->timeouts.udp_s == 300);
    CHECK(map_again(&world, &world.limits) == STATE_ADOPTED);
    world_free(&world);
}

static void a_region_may_be_mapped_anywhere(void)
{
    struct world world = world_with_a_connection();
    struct dr_limits other_seed = world.limits;
    struct world copy = {.limits = world.limits, .size = world.size, .region = malloc(world.size)};
    struct made ack = tcp_frame(1000, 0x10);
    struct made unknown = tcp_frame(1001, 0x10);

    CHECK(copy.region);
    memcpy(copy.region, world.region, world.size);
    world_free(&world);
    other_seed.seeds[0]++;
    CHECK(state_map(&copy.director, copy.region, copy.size, &other_seed, start_ns) ==
          STATE_ADOPTED);
    CHECK(table_open(&copy.director.table) == 0);
    memcpy(copy.director.identity.mac, director_mac, MAC);
    copy.director.identity.mtu = 1500;
    check_all(&copy.director.connections, &copy.director.table);
    CHECK(forward_made(&copy, &ack, start_ns) == DR_FORWARDED);
    CHECK(forward_made(&copy, &unknown, start_ns) == DR_NO_CONNECTION);
    world_free(&copy);
}

static void other_limits_make_it_stale(void)
{
    struct world world = world_with_a_connection();

    for (int field = 0; field < 3; field++) {
        struct dr_limits limits = world.limits;
        limits.services -= field == 0;
        limits.servers -= field == 1;
        limits.connections -= field == 2;
        CHECK(map_again(&world, &limits) == STATE_STALE);
    }
    CHECK(map_again(&world, &world.limits) == STATE_ADOPTED);
    world_free(&world);
}

/* Magic, format and the three sizes stand first. */
static void any_other_layout_makes_it_stale(void)
{
    for (size_t byte = 0; byte < 20; byte++) {
        struct world world = world_with_a_connection();
        uint8_t *bytes = world.region;
        bytes[byte] ^= 0x5a;
        CHECK(map_again(&world, &world.limits) == STATE_STALE);
        bytes[byte] ^= 0x5a;
        CHECK(map_again(&world, &world.limits) == STATE_ADOPTED);
        world_free(&world);
    }
}

static void a_region_one_byte_too_small_is_refused_untouched(void)
{
    const struct dr_limits limits = {.services = 2, .servers = 3, .connections = 5};
    size_t size = state_size(&limits) - 1;
    uint8_t *region = calloc(1, size);
    struct director director = {0};

    CHECK(region);
    CHECK(state_map(&director, region, size, &limits, start_ns) == STATE_TOO_SMALL);
    for (size_t i = 0; i < size; i++)
        CHECK(region[i] == 0);
    free(region);
}

static void more_room_takes_more_memory(void)
{
    const struct dr_limits little = {.services = 1, .servers = 1, .connections = 1};
    const struct dr_limits much = {.services = 65534, .servers = 65534, .connections = 4000000};

    CHECK(state_size(&little) > sizeof(struct service));
    CHECK(state_size(&much) > 4000000 * sizeof(struct connection));
}

int main(void)
{
    RUN(a_region_of_zeros_is_made_fresh);
    RUN(a_region_may_be_mapped_anywhere);
    RUN(other_limits_make_it_stale);
    RUN(any_other_layout_makes_it_stale);
    RUN(a_region_one_byte_too_small_is_refused_untouched);
    RUN(more_room_takes_more_memory);
}
