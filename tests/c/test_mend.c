/* test_mend.c -- what a killed process leaves, and what became of it since: anything may be wrong.
 */
#include "invariants.h"
#include "state.h"
#include "world.h"

enum { CLIENTS = 40, BUSY = 3 };

static struct made to_port(struct made made, uint16_t port)
{
    write16(made.bytes + 36, port);
    return made;
}

/* Ordinary and persistent connections, some over, on three servers. */
static struct world busy_world(void)
{
    struct world world = world_new(2 * CLIENTS + 8);
    struct dr_service plain = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_service sticky = persistent_on(443, 300);

    connections_set_share(&world.director.connections, 0);
    add_service(&world, plain);
    add_service(&world, sticky);
    for (uint8_t number = 1; number <= BUSY; number++) {
        add_server(&world, plain, number, 1);
        add_server(&world, sticky, number, 1);
    }
    for (uint16_t client = 0; client < CLIENTS; client++) {
        struct made syn = tcp_frame((uint16_t)(1000 + client), TCP_SYN);
        struct made ack = tcp_frame((uint16_t)(1000 + client), TCP_ACK);
        struct made other = to_port(syn, 443);
        CHECK(forward_made(&world, &syn, start_ns) == DR_FORWARDED);
        CHECK(forward_made(&world, &other, start_ns) == DR_FORWARDED);
        if (client % 3 == 0)
            CHECK(forward_made(&world, &ack, start_ns) == DR_FORWARDED);
    }
    for (uint32_t index = 5; index < 20; index += 5)
        connections_end(&world.director.connections, &world.director.table,
                        &world.director.connections.entries[index], tick_of(start_ns));
    check_all(&world.director.connections, &world.director.table);
    return world;
}

static enum state_outcome map_again(struct world *world)
{
    struct director fresh = {.fragments = world->director.fragments};

    table_close(&world->director.table);
    enum state_outcome outcome =
        state_map(&fresh, world->region, world->size, &world->limits, start_ns);
    world->director.connections = fresh.connections;
    world->director.table = fresh.table;
    world->director.stats = fresh.stats;
    world->director.adoption = fresh.adoption;
    CHECK(table_open(&world->director.table) == 0);
    return outcome;
}

static void scribble(struct world *world)
{
    struct connections *connections = &world->director.connections;
    struct table *table = &world->director.table;

    memset(connections->buckets, 0xa5, (connections->bucket_mask + 1) * sizeof(uint32_t));
    memset(connections->wheel, 0x5a, WHEEL_SLOTS * sizeof(uint32_t));
    connections->book->free = 0xdeadbeef;
    connections->book->count = 7;
    for (uint32_t index = 1; index < connections->book->fresh; index++) {
        connections->entries[index].wheel_next = 0xffffff;
        connections->entries[index].wheel_previous = 3;
        connections->entries[index].next = 0xffffff;
    }
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        table->servers[slot].active += 9;
        table->servers[slot].references = 1;
    }
    *world->director.changing = CHANGING_CONNECTIONS;
}

static void all_but_the_entries_is_made_anew(void)
{
    struct world world = busy_world();
    uint32_t count = world.director.connections.book->count;

    scribble(&world);
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&world.director.connections, &world.director.table);
    CHECK(world.director.connections.book->count == count);
    for (uint16_t client = 0; client < CLIENTS; client++) {
        struct flow flow = flow_from((uint16_t)(1000 + client), 80);
        const struct connection *found = connections_find(&world.director.connections, &flow);
        CHECK(!found || found->state == (client % 3 == 0 ? DR_TCP_ESTABLISHED : DR_TCP_SYN_RECV));
    }
    uint32_t later = tick_of(start_ns + UINT64_C(3600000000000));
    while (connections_expire(&world.director.connections, &world.director.table, later, 1000))
        ;
    world_free(&world);
}

/* Taken and not yet written, half written, cleared and not yet in the free list. */
static void entries_in_the_making_are_none(void)
{
    struct world world = busy_world();
    struct connections *connections = &world.director.connections;
    uint32_t count = connections->book->count;
    struct connection *taken = &connections->entries[connections->book->fresh++];
    struct connection *cleared = &connections->entries[4];

    memset(taken, 0, sizeof(*taken));
    taken->client_port = 99;
    taken->timeout_s = 60;
    bool was_template = cleared->flags & CONNECTION_TEMPLATE;
    memset(cleared, 0, sizeof(*cleared));
    *world.director.changing = CHANGING_CONNECTIONS;
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&world.director.connections, &world.director.table);
    CHECK(!was_template && world.director.connections.book->count == count - 1);
    world_free(&world);
}

static void frames_without_a_verdict_are_taken_back(void)
{
    struct world world = busy_world();

    world.director.stats->verdicts[DR_FORWARDED] = 5;
    world.director.stats->frames = 9;
    *world.director.changing = CHANGING_CONNECTIONS;
    CHECK(map_again(&world) == STATE_ADOPTED);
    CHECK(world.director.stats->frames == 5);
    world_free(&world);
}

/* Without its links, which are made anew. */
static struct connection unlinked(struct connection connection)
{
    connection.next = connection.wheel_next = connection.wheel_previous = 0;
    return connection;
}

static void what_was_in_order_stays_as_it_was(void)
{
    struct world world = busy_world();
    const struct director *director = &world.director;
    struct server *servers = malloc(world.limits.servers * sizeof(*servers));
    struct service *services = malloc(world.limits.services * sizeof(*services));
    struct connection before[2 * CLIENTS + 9];

    CHECK(servers && services);
    memcpy(before, director->connections.entries, sizeof(before));
    memcpy(servers, director->table.servers, world.limits.servers * sizeof(*servers));
    memcpy(services, director->table.services, world.limits.services * sizeof(*services));
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&director->connections, &director->table);
    for (uint32_t index = 0; index < director->connections.book->fresh; index++) {
        struct connection was = unlinked(before[index]);
        struct connection is = unlinked(director->connections.entries[index]);
        CHECK(memcmp(&was, &is, sizeof(was)) == 0);
    }
    CHECK(memcmp(servers, director->table.servers, world.limits.servers * sizeof(*servers)) == 0);
    CHECK(memcmp(services, director->table.services, world.limits.services * sizeof(*services)) ==
          0);
    free(servers);
    free(services);
    world_free(&world);
}

/* ---- What a disk or a stranger made of it ---- */

static void a_service_that_cannot_be_is_a_removed_one_and_keeps_its_connections(void)
{
    struct world world = busy_world();
    uint32_t count = world.director.connections.book->count;
    struct dr_service plain = service_on(PROTOCOL_TCP, 80, "rr");
    struct made ack = tcp_frame(1001, TCP_ACK);

    world.director.table.services[0].config.scheduler = 200;
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&world.director.connections, &world.director.table);
    CHECK(world.director.adoption.put_right == 1 + BUSY && world.director.adoption.lost == 0);
    CHECK(world.director.connections.book->count == count);
    CHECK(forward_made(&world, &ack, start_ns) == DR_SERVER_REMOVED);
    add_service(&world, plain);
    for (uint8_t number = 1; number <= BUSY; number++)
        add_server(&world, plain, number, 1);
    CHECK(forward_made(&world, &ack, start_ns) == DR_FORWARDED);
    world_free(&world);
}

static void a_list_of_servers_that_bites_its_tail_is_made_straight(void)
{
    struct world world = busy_world();
    struct table *table = &world.director.table;
    uint32_t head = table->services[0].head;

    table->servers[table->servers[head].next].next = head;
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&world.director.connections, table);
    CHECK(table->services[0].servers == BUSY);
    world_free(&world);
}

static void of_two_servers_of_one_name_the_second_is_removed(void)
{
    struct world world = busy_world();
    struct table *table = &world.director.table;
    uint32_t head = table->services[0].head;
    struct server *next = &table->servers[table->servers[head].next];

    next->config = table->servers[head].config;
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&world.director.connections, table);
    CHECK(table->services[0].servers == BUSY - 1);
    world_free(&world);
}

static void damaged_entries_are_left_out_and_counted(void)
{
    struct world world = busy_world();
    struct connection *entries = world.director.connections.entries;

    entries[1].server = 4000;
    entries[2].protocol = 9;
    entries[3].state = 15;
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&world.director.connections, &world.director.table);
    CHECK(world.director.adoption.lost == 3);
    world_free(&world);
}

/* Looking for one among many of its name would take as long as walking through them. */
static void of_many_entries_of_one_name_a_few_stay(void)
{
    struct world world = busy_world();
    struct connections *connections = &world.director.connections;

    for (uint32_t index = 2; index < connections->book->fresh; index++)
        connections->entries[index] = connections->entries[1];
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&world.director.connections, &world.director.table);
    CHECK(connections->book->count == 8);
    world_free(&world);
}

/* The monotonic clock of a namespace or of a restored machine may be behind, or far ahead. */
static void no_entry_outlives_its_time_out_whatever_the_clock_says(void)
{
    const uint64_t day_ns = 86400 * second_ns;
    const uint64_t times[] = {start_ns - 50 * day_ns, start_ns - 1, start_ns + 400 * day_ns,
                              UINT64_C(1) << 56};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct world world = busy_world();
        struct director *director = &world.director;
        uint32_t tick = tick_of(times[i]);
        director->connections.entries[1].expires ^= 0x7ffffff0;
        table_close(&director->table);
        CHECK(state_map(director, world.region, world.size, &world.limits, times[i]) ==
              STATE_ADOPTED);
        CHECK(table_open(&director->table) == 0);
        for (uint32_t index = 1; index < director->connections.book->fresh; index++)
            CHECK(!is_live(&director->connections, index) ||
                  (int32_t)(director->connections.entries[index].expires - tick) <=
                      901 * 60); /* ticks are 16.8 ms: the longest time-out here is 900 s */
        uint64_t later_ns = times[i] + 2 * 900 * second_ns;
        while (
            connections_expire(&director->connections, &director->table, tick_of(later_ns), 1000))
            ;
        CHECK(director->connections.book->count == 0);
        world_free(&world);
    }
}

static void a_change_of_the_table_that_was_never_finished_loses_no_connection(void)
{
    struct world world = busy_world();
    uint32_t count = world.director.connections.book->count;

    *world.director.changing = CHANGING_TABLE;
    CHECK(map_again(&world) == STATE_ADOPTED);
    check_all(&world.director.connections, &world.director.table);
    CHECK(world.director.connections.book->count == count);
    world_free(&world);
}

int main(void)
{
    RUN(all_but_the_entries_is_made_anew);
    RUN(entries_in_the_making_are_none);
    RUN(frames_without_a_verdict_are_taken_back);
    RUN(what_was_in_order_stays_as_it_was);
    RUN(a_service_that_cannot_be_is_a_removed_one_and_keeps_its_connections);
    RUN(a_list_of_servers_that_bites_its_tail_is_made_straight);
    RUN(of_two_servers_of_one_name_the_second_is_removed);
    RUN(damaged_entries_are_left_out_and_counted);
    RUN(of_many_entries_of_one_name_a_few_stay);
    RUN(no_entry_outlives_its_time_out_whatever_the_clock_says);
    RUN(a_change_of_the_table_that_was_never_finished_loses_no_connection);
}
