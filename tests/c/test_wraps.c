/* test_wraps.c -- what goes by seconds and ticks where these begin anew: after 834 days. */
#include "invariants.h"
#include "world.h"

static const uint64_t wrap_ns = UINT64_C(1) << (32 + TICK_SHIFT);

static struct made later_part(uint8_t number)
{
    struct made made = udp_frame(1000);

    made.bytes[14 + 5] = number; /* the datagram's identification */
    made.bytes[14 + 7] = 1;
    seal(&made);
    return made;
}

static void fragments_that_waited_in_vain_make_room_for_others(void)
{
    struct world world = world_new(8);
    struct dr_service name = service_on(PROTOCOL_UDP, 80, "rr");

    add_service(&world, name);
    add_server(&world, name, 1, 1);
    for (uint8_t turn = 0; turn < 4; turn++) {
        uint64_t now_ns = wrap_ns - 50 * second_ns + turn * 40 * second_ns;
        for (uint8_t number = 0; number <= world.limits.fragments; number++) {
            struct made part = later_part((uint8_t)(turn * 10 + number));
            CHECK(forward_made(&world, &part, now_ns) ==
                  (number < world.limits.fragments ? DR_FRAGMENT_HELD : DR_TABLE_FULL));
        }
    }
    world_free(&world);
}

static void a_server_that_went_before_comes_back_with_its_counters(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_server one = server_number(1, 80, 1);

    CHECK(change(&world, DR_ADD_SERVICE, web, one, wrap_ns - 20 * second_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, one, wrap_ns - 20 * second_ns) == 0);
    world.director.table.servers[0].in.connections = 5;
    CHECK(change(&world, DR_DELETE_SERVER, web, one, wrap_ns - 10 * second_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, one, wrap_ns + 10 * second_ns) == 0);
    CHECK(world.director.table.servers[0].in.connections == 5);
    CHECK(change(&world, DR_DELETE_SERVER, web, one, wrap_ns + 20 * second_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, one, wrap_ns + 200 * second_ns) == 0);
    CHECK(world.director.table.servers[0].in.connections == 0);
    world_free(&world);
}

static void a_slow_start_goes_on(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "wlc");
    const struct service *service = only_service(&world);
    uint64_t began_ns = wrap_ns - 10 * second_ns;

    web.slow_start_s = 40;
    CHECK(change(&world, DR_ADD_SERVICE, web, (struct dr_server){0}, began_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, server_number(1, 80, 1), began_ns) == 0);
    struct server server = world.director.table.servers[0];
    server.active = 1;
    CHECK(scheduler_load(service, &server, seconds_of(tick_of(wrap_ns + 10 * second_ns))) >
          3 * 256 / 2);
    CHECK(scheduler_load(service, &server, seconds_of(tick_of(wrap_ns + 35 * second_ns))) == 256);
    world_free(&world);
}

/* Of the timer that forgets destinations, the wrap must not make years of work. */
static void destinations_are_forgotten_in_time(void)
{
    struct world world = world_new(64);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "lblc");

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    for (uint16_t minute = 0; minute < 30; minute++) {
        struct made syn = tcp_frame((uint16_t)(1000 + minute), TCP_SYN);
        uint64_t now_ns = wrap_ns + minute * 60 * second_ns - 900 * second_ns;
        while (connections_expire(&world.director.connections, &world.director.table,
                                  tick_of(now_ns), 64))
            ;
        CHECK(forward_made(&world, &syn, now_ns) == DR_FORWARDED);
        check_all(&world.director.connections, &world.director.table);
    }
    world_free(&world);
}

int main(void)
{
    RUN(fragments_that_waited_in_vain_make_room_for_others);
    RUN(a_server_that_went_before_comes_back_with_its_counters);
    RUN(a_slow_start_goes_on);
    RUN(destinations_are_forgotten_in_time);
}
