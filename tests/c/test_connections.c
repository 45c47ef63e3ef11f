/* test_connections.c -- the hash, the timer wheel and the life of an entry. */
#include "connections.h"

#include "invariants.h"
#include "world.h"

enum { SEVERAL = 200 };

static struct world world_with_a_server(uint32_t connections)
{
    struct world world = world_new(connections);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    connections_set_share(&world.director.connections, 0); /* see test_unproved.c */
    return world;
}

static struct connection *add_at(struct world *world, uint16_t client_port, uint32_t tick)
{
    struct flow flow = flow_from(client_port, 80);

    return connections_add(&world->director.connections, &world->director.table, &flow,
                           &world->director.table.servers[0], NO_CONNECTION, tick);
}

static struct connection *find(struct world *world, uint16_t client_port)
{
    struct flow flow = flow_from(client_port, 80);

    return connections_find(&world->director.connections, &flow);
}

static void packet_at(struct world *world, struct connection *connection, uint8_t flags,
                      uint32_t tick)
{
    const struct packet packet = {.flow.protocol = PROTOCOL_TCP, .tcp_flags = flags};

    connections_packet(&world->director.connections, &world->director.table, connection, &packet,
                       false, tick);
}

static bool expire(struct world *world, uint32_t tick, uint32_t budget)
{
    return connections_expire(&world->director.connections, &world->director.table, tick, budget);
}

static void check(struct world *world)
{
    check_all(&world->director.connections, &world->director.table);
}

static uint32_t start_tick(void)
{
    return tick_of(start_ns);
}

static uint32_t ticks(uint64_t seconds)
{
    return (uint32_t)((seconds * second_ns) >> TICK_SHIFT);
}

/* What a timer is set to: rounded up, and the tick that has begun does not count. */
static uint32_t life(uint64_t seconds)
{
    return (uint32_t)((seconds * second_ns + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT) + 1;
}

static void what_was_added_is_found_until_it_ends(void)
{
    struct world world = world_with_a_server(SEVERAL);

    for (uint16_t port = 1; port <= SEVERAL; port++)
        CHECK(add_at(&world, port, start_tick()));
    CHECK(add_at(&world, SEVERAL + 1, start_tick()) == NULL);
    check(&world);
    for (uint16_t port = 1; port <= SEVERAL; port += 2)
        connections_end(&world.director.connections, &world.director.table, find(&world, port),
                        start_tick());
    check(&world);
    for (uint16_t port = 1; port <= SEVERAL; port++)
        CHECK(!!find(&world, port) == (port % 2 == 0));
    CHECK(add_at(&world, 1, start_tick()));
    check(&world);
    world_free(&world);
}

static void every_field_of_the_key_counts(void)
{
    struct world world = world_with_a_server(8);
    struct flow flows[5];

    CHECK(add_at(&world, 1000, start_tick()));
    for (int i = 0; i < 5; i++)
        flows[i] = flow_from(1000, 80);
    flows[0].client_port++;
    flows[1].port++;
    flows[2].protocol = PROTOCOL_UDP;
    flows[3].client[0]++;
    flows[4].address[15]++;
    for (int i = 0; i < 5; i++)
        CHECK(connections_find(&world.director.connections, &flows[i]) == NULL);
    CHECK(find(&world, 1000));
    world_free(&world);
}

static void the_newer_of_two_entries_of_a_flow_is_found(void)
{
    struct world world = world_with_a_server(8);
    struct connection *older = add_at(&world, 1000, start_tick());
    struct connection *newer = add_at(&world, 1000, start_tick());

    CHECK(find(&world, 1000) == newer);
    connections_end(&world.director.connections, &world.director.table, older, start_tick());
    CHECK(find(&world, 1000) == newer);
    check(&world);
    world_free(&world);
}

static void no_entry_ends_early_nor_much_too_late(void)
{
    struct world world = world_with_a_server(SEVERAL);
    uint32_t tick = start_tick();
    uint32_t left = SEVERAL;

    for (uint16_t port = 1; port <= SEVERAL; port++)
        packet_at(&world, add_at(&world, port, tick + port), TCP_SYN, tick + port);
    for (; left > 0; tick++) {
        uint32_t before = world.director.connections.book->count;
        CHECK(!expire(&world, tick, UINT32_MAX));
        left = world.director.connections.book->count;
        check_timers(&world.director.connections, tick);
        if (before != left)
            check(&world);
        CHECK(left == SEVERAL || tick - start_tick() > ticks(60));
        CHECK(tick - start_tick() < ticks(60) + SEVERAL + LATE_TICKS);
    }
    world_free(&world);
}

static void time_outs_beyond_one_turn_of_the_wheel_hold_too(void)
{
    struct world world = world_with_a_server(8);
    const struct flow key = flow_from(0, 80);
    const uint32_t month_s = 31 * 86400;
    uint32_t tick = start_tick();

    CHECK(connections_add_template(&world.director.connections, &world.director.table, &key,
                                   &world.director.table.servers[0], month_s, tick));
    for (uint32_t passed = 0; passed < ticks(month_s); passed += 1000) {
        expire(&world, tick + passed, UINT32_MAX);
        CHECK(world.director.connections.book->count == 1);
    }
    expire(&world, tick + ticks(month_s) + LATE_TICKS, UINT32_MAX);
    CHECK(world.director.connections.book->count == 0);
    check(&world);
    world_free(&world);
}

static void a_long_sleep_ends_what_is_over_and_keeps_what_is_not(void)
{
    static const uint32_t sleeps_s[] = {61, 800, 1099, 1100, 1101, 3600, 86400, 31 * 86400};

    for (size_t i = 0; i < sizeof(sleeps_s) / sizeof(sleeps_s[0]); i++) {
        struct world world = world_with_a_server(8);
        const struct flow key = flow_from(0, 80);
        uint32_t tick = start_tick();

        packet_at(&world, add_at(&world, 1, tick), TCP_SYN, tick);
        CHECK(connections_add_template(&world.director.connections, &world.director.table, &key,
                                       &world.director.table.servers[0], sleeps_s[i] + 2, tick));
        tick += ticks(sleeps_s[i]);
        expire(&world, tick, UINT32_MAX);
        CHECK(!find(&world, 1) && world.director.connections.book->count == 1);
        check(&world);
        expire(&world, tick + ticks(2) + LATE_TICKS, UINT32_MAX);
        CHECK(world.director.connections.book->count == 0);
        world_free(&world);
    }
}

static void a_packet_restarts_the_timer_with_the_time_out_of_the_new_state(void)
{
    struct world world = world_with_a_server(8);
    struct connection *connection = add_at(&world, 1, start_tick());
    uint32_t tick = start_tick();

    CHECK(connection->timeout_s == 3);
    packet_at(&world, connection, TCP_SYN, tick);
    CHECK(connection->expires - tick == life(60));
    packet_at(&world, connection, TCP_ACK, tick += 100);
    CHECK(connection->expires - tick == life(900));
    packet_at(&world, connection, TCP_RST, tick += 100); /* shorter: it moves in the wheel */
    CHECK(connection->expires - tick == life(10));
    check(&world);
    expire(&world, tick + ticks(10), UINT32_MAX);
    CHECK(find(&world, 1));
    expire(&world, tick + ticks(10) + LATE_TICKS, UINT32_MAX);
    CHECK(!find(&world, 1));
    world_free(&world);
}

static void a_budget_ends_so_many_and_says_that_there_may_be_more(void)
{
    struct world world = world_with_a_server(SEVERAL);
    uint32_t late = start_tick() + ticks(10);

    for (uint16_t port = 1; port <= SEVERAL; port++)
        CHECK(add_at(&world, port, start_tick()));
    CHECK(expire(&world, late, 50));
    CHECK(world.director.connections.book->count == SEVERAL - 50);
    check(&world);
    CHECK(expire(&world, late, SEVERAL - 51));
    CHECK(!expire(&world, late, 50));
    CHECK(world.director.connections.book->count == 0);
    world_free(&world);
}

static void a_server_counts_a_connection_on_the_side_of_its_state(void)
{
    struct world world = world_with_a_server(8);
    const struct server *server = &world.director.table.servers[0];
    struct connection *connection = add_at(&world, 1, start_tick());
    static const struct {
        uint8_t flags;
        uint32_t active;
    } steps[] = {{TCP_SYN, 1}, {TCP_ACK, 1}, {TCP_FIN, 0}, {TCP_SYN, 1},
                 {TCP_RST, 1}, {TCP_FIN, 0}, {TCP_ACK, 0}, {0, 0}};

    CHECK(server->active == 0 && server->inactive == 1);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        packet_at(&world, connection, steps[i].flags, start_tick());
        CHECK(server->active == steps[i].active && server->inactive == 1 - steps[i].active);
        check(&world);
    }
    connections_end(&world.director.connections, &world.director.table, connection, start_tick());
    CHECK(server->active == 0 && server->inactive == 0 && server->references == 0);
    world_free(&world);
}

static void a_template_outlives_its_connections_in_steps_of_a_minute(void)
{
    struct world world = world_with_a_server(8);
    struct connections *connections = &world.director.connections;
    struct table *table = &world.director.table;
    const struct flow key = flow_from(0, 80);
    const struct flow flow = flow_from(1000, 80);
    uint32_t tick = start_tick();
    struct connection *template =
        connections_add_template(connections, table, &key, &table->servers[0], 10, tick);
    struct connection *connection = connections_add(connections, table, &flow, &table->servers[0],
                                                    connections_index(connections, template), tick);

    packet_at(&world, connection, TCP_SYN, tick);
    CHECK(template->state == 0);
    packet_at(&world, connection, TCP_ACK, tick);
    CHECK(template->state == 1);
    CHECK(table->servers[0].persistent == 1);
    connections_end(connections, table, template, tick);
    CHECK(template->control == 1); /* nothing happened: it controls a connection */

    tick += ticks(10) + LATE_TICKS;
    expire(&world, tick, UINT32_MAX);
    CHECK(template->timeout_s == 60 && template->expires == tick + life(60));
    check(&world);
    connections_end(connections, table, connection, tick);
    connections_restart(connections, template, tick);
    CHECK(template->expires == tick + life(60));
    tick += ticks(60) + LATE_TICKS;
    expire(&world, tick, UINT32_MAX);
    CHECK(connections->book->count == 0);
    check(&world);
    world_free(&world);
}

static void an_invalidated_template_is_not_found_but_lives_on(void)
{
    struct world world = world_with_a_server(8);
    struct connections *connections = &world.director.connections;
    const struct flow key = flow_from(0, 80);
    struct connection *template =
        connections_add_template(connections, &world.director.table, &key,
                                 &world.director.table.servers[0], 300, start_tick());

    connections_invalidate(connections, template);
    CHECK(connections_find_template(connections, &key) == NULL);
    CHECK(template->port == 0xffff && connections->book->count == 1);
    check(&world);
    expire(&world, start_tick() + ticks(300) + LATE_TICKS, UINT32_MAX);
    CHECK(connections->book->count == 0);
    check(&world);
    world_free(&world);
}

/* A client may send from port 0, which is what a template has. */
static void a_template_and_a_connection_of_the_same_key_are_told_apart(void)
{
    struct world world = world_with_a_server(8);
    struct connections *connections = &world.director.connections;
    const struct flow key = flow_from(0, 80);
    struct connection *template =
        connections_add_template(connections, &world.director.table, &key,
                                 &world.director.table.servers[0], 300, start_tick());

    CHECK(connections_find(connections, &key) == NULL);
    CHECK(connections_find_template(connections, &key) == template);
    struct connection *connection = add_at(&world, 0, start_tick());
    CHECK(connections_find(connections, &key) == connection);
    CHECK(connections_find_template(connections, &key) == template);
    check(&world);
    world_free(&world);
}

/* ---- Connections of removed servers ---- */

static bool sweep(struct world *world, uint32_t tick, uint32_t budget)
{
    return connections_sweep(&world->director.connections, &world->director.table, true, tick,
                             budget);
}

static void delete_server(struct world *world)
{
    const struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");

    CHECK(change(world, DR_DELETE_SERVER, web, server_number(1, 80, 1), start_ns) == 0);
}

static void a_sweep_ends_the_connections_of_removed_servers_from_the_next_tick_on(void)
{
    struct world world = world_with_a_server(SEVERAL);
    struct connections *connections = &world.director.connections;
    uint32_t tick = start_tick();

    for (uint16_t port = 1; port <= SEVERAL; port++)
        CHECK(add_at(&world, port, tick));
    CHECK(!sweep(&world, tick + 1, UINT32_MAX)); /* nobody asked for it */
    CHECK(connections->book->count == SEVERAL);
    connections_sweep_begin(connections, tick + 1);
    CHECK(!sweep(&world, tick + 2, UINT32_MAX)); /* its server is there */
    CHECK(connections->book->count == SEVERAL);

    delete_server(&world);
    connections_sweep_begin(connections, tick + 2);
    CHECK(!sweep(&world, tick + 2, UINT32_MAX));
    CHECK(connections->book->count == SEVERAL);
    CHECK(sweep(&world, tick + 3, 50));
    CHECK(connections->book->count == SEVERAL - 50);
    check(&world);
    CHECK(!sweep(&world, tick + 3, SEVERAL));
    CHECK(connections->book->count == 0 && world.director.table.servers[0].references == 0);
    check(&world);
    world_free(&world);
}

/* One that was never assured goes with its last connection; one that was lives on. */
static void a_swept_connection_takes_its_template_along_unless_that_was_assured(void)
{
    for (int assured = 0; assured < 2; assured++) {
        struct world world = world_with_a_server(8);
        struct connections *connections = &world.director.connections;
        struct table *table = &world.director.table;
        const struct flow key = flow_from(0, 80);
        struct connection *template = connections_add_template(
            connections, table, &key, &table->servers[0], 300, start_tick());
        uint32_t control = connections_index(connections, template);
        for (uint16_t port = 1; port <= 3; port++) {
            const struct flow flow = flow_from(port, 80);
            struct connection *connection = connections_add(
                connections, table, &flow, &table->servers[0], control, start_tick());
            packet_at(&world, connection, assured ? TCP_ACK : TCP_SYN, start_tick());
        }
        delete_server(&world);
        connections_sweep_begin(connections, start_tick());
        CHECK(!sweep(&world, start_tick() + 1, UINT32_MAX));
        CHECK(connections->book->count == (uint32_t)assured);
        check(&world);
        world_free(&world);
    }
}

/* The tick counter is 32 bits wide and wraps after 2.3 years. */
static void the_wrap_of_the_tick_counter_is_survived(void)
{
    struct world world = world_with_a_server(8);
    uint32_t tick = 0u - ticks(30);

    connections_init(&world.director.connections, (uint64_t)tick << TICK_SHIFT);
    packet_at(&world, add_at(&world, 1, tick), TCP_SYN, tick);
    for (uint32_t passed = 0; passed < ticks(60); passed++)
        expire(&world, tick + passed, UINT32_MAX);
    CHECK(find(&world, 1));
    expire(&world, tick + ticks(60) + LATE_TICKS, UINT32_MAX);
    CHECK(!find(&world, 1));
    check(&world);
    world_free(&world);
}

static uint32_t packets_after(struct world *world, struct connection *connection, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        connections_count(&world->director.connections, connection, start_tick());
    return connections_packets(&world->director.connections, connection);
}

static void what_is_beside_a_connection_is_touched_by_its_512th_packet(void)
{
    struct world world = world_with_a_server(8);
    struct connections *connections = &world.director.connections;
    struct connection *connection = add_at(&world, 1, start_tick());
    uint32_t index = connections_index(connections, connection);

    connections->rest[index] = (struct connection_rest){.packets = 9}; /* of a former one */
    CHECK(packets_after(&world, connection, 511) == 511);
    CHECK(connections->rest[index].packets == 9);
    CHECK(packets_after(&world, connection, 1) == 512);
    CHECK(packets_after(&world, connection, 1024) == 1536);

    connections_end(connections, &world.director.table, connection, start_tick());
    CHECK(add_at(&world, 2, start_tick()) == connection);
    CHECK(packets_after(&world, connection, 1) == 1);
    check(&world);
    world_free(&world);
}

enum { ATTACKERS = 30000 };

static uint32_t longest_bucket(const struct connections *connections)
{
    uint32_t longest = 0;

    for (uint32_t bucket = 0; bucket <= connections->bucket_mask; bucket++) {
        uint32_t length = 0;
        for (uint32_t index = connections->buckets[bucket]; index != NO_CONNECTION;
             index = connections->entries[index].next)
            length++;
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* Numbers that hashes are made with, and others that are special to a multiplication: as the half
 * of an address that stays, in the order of the host and of the network. */
static void whatever_addresses_strangers_choose_no_bucket_gets_long(void)
{
    static const uint64_t chosen[] = {
        0,
        1,
        UINT64_MAX,
        0x9e3779b97f4a7c15,
        0x165667b19e3779f9,
        0xc2b2ae3d27d4eb4f,
        0x5555555555555555,
        0x8000000000000000,
        0x157c4a7fb979379e,
    };

    for (size_t way = 0; way < 2 * sizeof(chosen) / sizeof(chosen[0]); way++) {
        struct world world = world_new(ATTACKERS);
        struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
        add_service(&world, web);
        add_server(&world, web, 1, 1);
        for (uint64_t network = 0; network < ATTACKERS; network++) {
            struct flow flow = flow_from(1000, 80);
            uint64_t half = chosen[way / 2];
            memcpy(flow.client + (way % 2 ? 0 : 8), &half, sizeof(half));
            memcpy(flow.client + (way % 2 ? 8 : 0), &network, sizeof(network));
            CHECK(connections_add(&world.director.connections, &world.director.table, &flow,
                                  &world.director.table.servers[0], NO_CONNECTION,
                                  tick_of(start_ns)));
        }
        CHECK(longest_bucket(&world.director.connections) <= 12);
        world_free(&world);
    }
}

/* A client, or a proxy for many, takes one port after the other. */
static void whatever_the_secrets_ports_in_a_row_are_spread(void)
{
    enum { PORTS = 1000, BUCKETS = 1024 };
    struct connections connections = {.seeds = {0xdfedb2a6a3d72eec, 0xd002f462c4d238e6}};

    for (uint32_t turn = 0; turn < 5000; turn++) {
        uint8_t lengths[BUCKETS] = {0};
        uint8_t longest = 0;
        for (uint16_t port = 1000; port < 1000 + PORTS; port++) {
            struct flow flow = flow_from(port, 80);
            uint8_t *length = &lengths[connections_hash(&connections, &flow) % BUCKETS];
            longest = ++*length > longest ? *length : longest;
        }
        CHECK(longest <= 16);
        for (int i = 0; i < 2; i++) /* as good as by chance */
            connections.seeds[i] =
                mix(0x9e3779b97f4a7c15 * (2 * turn + (uint32_t)i + 1), 0xbf58476d1ce4e5b9);
    }
}

static void a_crowded_bucket_takes_no_more(void)
{
    struct world world = world_new(100);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    uint32_t taken = 0;

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    connections_set_share(&world.director.connections, 100);
    world.director.connections.bucket_mask = 0;
    for (uint16_t client = 0; client < 100; client++) {
        struct made syn = tcp_frame((uint16_t)(1000 + client), TCP_SYN);
        enum dr_verdict verdict = forward_made(&world, &syn, start_ns);
        CHECK(verdict == (taken < CROWD ? DR_FORWARDED : DR_TABLE_FULL));
        taken += verdict == DR_FORWARDED;
    }
    CHECK(taken == CROWD && world.director.connections.book->count == CROWD);
    world_free(&world);
}

int main(void)
{
    RUN(whatever_addresses_strangers_choose_no_bucket_gets_long);
    RUN(whatever_the_secrets_ports_in_a_row_are_spread);
    RUN(a_crowded_bucket_takes_no_more);
    RUN(what_was_added_is_found_until_it_ends);
    RUN(every_field_of_the_key_counts);
    RUN(the_newer_of_two_entries_of_a_flow_is_found);
    RUN(no_entry_ends_early_nor_much_too_late);
    RUN(time_outs_beyond_one_turn_of_the_wheel_hold_too);
    RUN(a_long_sleep_ends_what_is_over_and_keeps_what_is_not);
    RUN(a_packet_restarts_the_timer_with_the_time_out_of_the_new_state);
    RUN(a_budget_ends_so_many_and_says_that_there_may_be_more);
    RUN(a_server_counts_a_connection_on_the_side_of_its_state);
    RUN(a_template_outlives_its_connections_in_steps_of_a_minute);
    RUN(an_invalidated_template_is_not_found_but_lives_on);
    RUN(a_template_and_a_connection_of_the_same_key_are_told_apart);
    RUN(a_sweep_ends_the_connections_of_removed_servers_from_the_next_tick_on);
    RUN(a_swept_connection_takes_its_template_along_unless_that_was_assured);
    RUN(the_wrap_of_the_tick_counter_is_survived);
    RUN(what_is_beside_a_connection_is_touched_by_its_512th_packet);
}
