/* test_mend.c -- what a killed process leaves: everything but the entries may be wrong. */
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

static void what_was_in_order_stays_as_it_was(void)
{
    struct world world = busy_world();
    struct connection before[2 * CLIENTS + 9];

    memcpy(before, world.director.connections.entries, sizeof(before));
    CHECK(map_again(&world) == STATE_ADOPTED);
    CHECK(memcmp(before, world.director.connections.entries, sizeof(before)) == 0);
    world_free(&world);
}

int main(void)
{
    RUN(all_but_the_entries_is_made_anew);
    RUN(entries_in_the_making_are_none);
    RUN(frames_without_a_verdict_are_taken_back);
    RUN(what_was_in_order_stays_as_it_was);
}
