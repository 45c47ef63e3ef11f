/* test_convert.c -- the state of one size comes into a region of another. */
#include <errno.h>

#include "invariants.h"
#include "state.h"
#include "world.h"

enum { CLIENTS = 30 };

/* Half of the connections are established, and one client has a template. */
static struct world busy_world(uint32_t room)
{
    struct world world = world_new(room);
    struct dr_service plain = service_on(PROTOCOL_TCP, 80, "wrr");
    struct dr_service sticky = persistent_on(443, 300);

    add_service(&world, plain);
    add_service(&world, sticky);
    for (uint8_t number = 1; number <= 2; number++) {
        add_server(&world, plain, number, number);
        add_server(&world, sticky, number, 1);
    }
    for (uint16_t client = 0; client < CLIENTS; client++) {
        struct made syn = tcp_frame((uint16_t)(1000 + client), TCP_SYN);
        struct made fin = tcp_frame((uint16_t)(1000 + client), TCP_ACK | TCP_FIN);
        CHECK(forward_made(&world, &syn, start_ns) == DR_FORWARDED);
        if (client % 2 == 0)
            CHECK(forward_made(&world, &fin, start_ns) == DR_FORWARDED);
    }
    struct made held = tcp_frame(999, TCP_SYN);
    write16(held.bytes + 36, 443);
    CHECK(forward_made(&world, &held, start_ns) == DR_FORWARDED);
    return world;
}

/* Into a world of so many connections; its region is the caller's to free. */
static struct dr_adoption convert(struct world *world, struct dr_limits limits, struct world *into)
{
    struct dr_adoption adoption;

    *into = (struct world){.limits = limits, .size = state_size(&limits)};
    into->region = calloc(1, into->size);
    CHECK(into->region);
    CHECK(dr_state_convert(world->region, world->size, into->region, into->size, &limits, start_ns,
                           &adoption) == 0);
    CHECK(state_map(&into->director, into->region, into->size, &limits, start_ns) == STATE_ADOPTED);
    into->director.answer = into->answer = calloc(1, ANSWER_ROOM);
    CHECK(into->answer);
    CHECK(table_open(&into->director.table) == 0);
    into->director.fragments = fragments_new(limits.fragments, limits.seeds);
    memcpy(into->director.identity.mac, director_mac, MAC);
    into->director.identity.mtu = 1500;
    check_all(&into->director.connections, &into->director.table);
    return adoption;
}

static uint32_t count_found(struct world *world, uint16_t first, uint16_t step)
{
    uint32_t found = 0;

    for (uint16_t client = first; client < CLIENTS; client += step) {
        struct flow flow = flow_from((uint16_t)(1000 + client), 80);
        found += connections_find(&world->director.connections, &flow) != NULL;
    }
    return found;
}

static void into_more_room_everything_comes(void)
{
    struct world world = busy_world(64), into;
    struct dr_limits limits = world.limits;

    limits.connections = 5000;
    limits.services = 20;
    limits.servers = 30;
    struct dr_adoption adoption = convert(&world, limits, &into);
    CHECK(adoption.connections == CLIENTS + 2 && adoption.lost == 0 && adoption.put_right == 0);
    CHECK(count_found(&into, 0, 1) == CLIENTS);
    CHECK(into.director.table.services[0].servers == 2);
    world_free(&world);
    world_free(&into);
}

static void into_less_room_those_in_use_come_first_and_the_rest_is_counted(void)
{
    struct world world = busy_world(64), into;
    struct dr_limits limits = world.limits;

    limits.connections = 20;
    struct dr_adoption adoption = convert(&world, limits, &into);
    CHECK(adoption.connections == 20 && adoption.lost == CLIENTS + 2 - 20);
    CHECK(count_found(&into, 1, 2) == CLIENTS / 2);
    world_free(&world);
    world_free(&into);
}

static void a_connection_still_has_its_template(void)
{
    struct world world = busy_world(64), into;
    struct dr_limits limits = world.limits;

    limits.connections = 63;
    convert(&world, limits, &into);
    struct flow flow = flow_from(999, 443);
    const struct connection *held = connections_find(&into.director.connections, &flow);
    CHECK(held && held->control != NO_CONNECTION);
    CHECK(into.director.connections.entries[held->control].control == 1);
    world_free(&world);
    world_free(&into);
}

static void nothing_comes_from_another_clock_or_into_a_smaller_table(void)
{
    struct world world = busy_world(64);
    struct dr_adoption adoption;

    for (int field = 0; field < 4; field++) {
        struct dr_limits limits = world.limits;
        limits.connections = 100;
        limits.clock += field == 0;
        limits.services -= field == 1;
        limits.servers -= field == 2;
        limits.connections -= field == 3 ? 36 : 0;
        size_t size = state_size(&limits);
        void *region = calloc(1, size);
        CHECK(region);
        CHECK(dr_state_convert(world.region, world.size, region, size, &limits, start_ns,
                               &adoption) == -EINVAL);
        free(region);
    }
    world_free(&world);
}

static void a_look_tells_what_is_in_a_region(void)
{
    struct world world = busy_world(64);
    struct dr_limits more = world.limits, later = world.limits;
    uint8_t *bytes = world.region;
    struct dr_state_look look = state_look(world.region, world.size, &world.limits);

    more.connections++;
    later.clock++;
    CHECK(look.state == DR_STATE_OURS && look.count == CLIENTS + 2 && look.connections == 64);
    CHECK(state_look(bytes, world.size, &more).state == DR_STATE_OTHER_ROOM);
    CHECK(state_look(bytes, world.size, &later).state == DR_STATE_OTHER_CLOCK);
    CHECK(state_look(bytes, world.size - 1, &world.limits).state == DR_STATE_DAMAGED);
    CHECK(state_look(bytes, 17, &world.limits).state == DR_STATE_DAMAGED);
    CHECK(state_look(bytes, 0, &world.limits).state == DR_STATE_NONE);
    bytes[4]++;
    look = state_look(bytes, world.size, &world.limits);
    CHECK(look.state == DR_STATE_OTHER_FORMAT && look.count == CLIENTS + 2);
    bytes[0]++;
    CHECK(state_look(bytes, world.size, &world.limits).state == DR_STATE_DAMAGED);
    memset(bytes, 0, world.size);
    CHECK(state_look(bytes, world.size, &world.limits).state == DR_STATE_NONE);
    world_free(&world);
}

int main(void)
{
    RUN(into_more_room_everything_comes);
    RUN(into_less_room_those_in_use_come_first_and_the_rest_is_counted);
    RUN(a_connection_still_has_its_template);
    RUN(nothing_comes_from_another_clock_or_into_a_smaller_table);
    RUN(a_look_tells_what_is_in_a_region);
}
