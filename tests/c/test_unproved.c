/* A flood displaces its like, and never a connection whose client has gone on. */
#include "invariants.h"
#include "world.h"

enum { SYN = 0x02, ACK = 0x10, RST = 0x04, FIN = 0x01, ROOM = 64, SHARE = ROOM / 2 };

static struct world serving(struct dr_service service)
{
    struct world world = world_new(ROOM);

    add_service(&world, service);
    add_server(&world, service, 1, 1);
    return world;
}

static enum dr_verdict tcp(struct world *world, uint16_t port, uint8_t flags)
{
    struct made made = tcp_frame(port, flags);

    return forward_made(world, &made, start_ns);
}

static enum dr_verdict udp(struct world *world, uint16_t port)
{
    struct made made = udp_frame(port);

    return forward_made(world, &made, start_ns);
}

static bool is_there(const struct world *world, uint16_t port, uint8_t protocol)
{
    struct flow flow = flow_from(port, 80);

    flow.protocol = protocol;
    return connections_find(&world->director.connections, &flow) != NULL;
}

static void check(const struct world *world)
{
    check_all(&world->director.connections, &world->director.table);
    CHECK(world->director.connections.book->unproved <= world->director.connections.unproved_share);
}

static void begin_many(struct world *world, uint16_t first, uint16_t count)
{
    for (uint16_t port = first; port < first + count; port++) {
        CHECK(tcp(world, port, SYN) == DR_FORWARDED);
        check(world);
    }
}

static void a_flood_displaces_the_oldest_of_its_like(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));
    const struct connections_book *book = world.director.connections.book;

    for (uint16_t port = 1; port <= 8; port++) {
        CHECK(tcp(&world, port, SYN) == DR_FORWARDED);
        CHECK(tcp(&world, port, ACK) == DR_FORWARDED);
    }
    CHECK(book->unproved == 0);
    begin_many(&world, 1000, 1000);
    CHECK(book->unproved == SHARE && book->count == SHARE + 8);
    CHECK(book->displaced == 1000 - SHARE);
    for (uint16_t port = 1; port <= 8; port++)
        CHECK(is_there(&world, port, PROTOCOL_TCP));
    CHECK(!is_there(&world, 2000 - SHARE - 1, PROTOCOL_TCP));
    CHECK(is_there(&world, 2000 - SHARE, PROTOCOL_TCP));
    world_free(&world);
}

static void a_newcomer_that_goes_on_in_time_stays(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));

    begin_many(&world, 1000, 200);
    CHECK(tcp(&world, 1, SYN) == DR_FORWARDED);
    begin_many(&world, 2000, SHARE - 1);
    CHECK(tcp(&world, 1, ACK) == DR_FORWARDED);
    begin_many(&world, 3000, 200);
    CHECK(is_there(&world, 1, PROTOCOL_TCP));
    CHECK(tcp(&world, 1, ACK) == DR_FORWARDED);
    world_free(&world);
}

static void a_table_full_of_proved_ones_takes_no_more(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));

    for (uint16_t port = 101; port <= 100 + ROOM; port++) {
        CHECK(tcp(&world, port, SYN) == DR_FORWARDED);
        CHECK(tcp(&world, port, ACK) == DR_FORWARDED);
        check(&world);
    }
    CHECK(tcp(&world, 1000, SYN) == DR_TABLE_FULL);
    CHECK(world.director.connections.book->displaced == 0);
    check(&world);
    world_free(&world);
}

static void where_no_room_is_left_the_proved_have_it_first(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));

    begin_many(&world, 1000, SHARE);
    for (uint16_t port = 101; port < 100 + ROOM; port++) {
        CHECK(tcp(&world, port, SYN) == DR_FORWARDED);
        CHECK(tcp(&world, port, ACK) == DR_FORWARDED);
        check(&world);
    }
    CHECK(tcp(&world, 2000, SYN) == DR_FORWARDED);
    CHECK(tcp(&world, 2001, SYN) == DR_FORWARDED);
    CHECK(world.director.connections.book->unproved == 1);
    check(&world);
    world_free(&world);
}

static void neither_a_second_syn_nor_a_rst_is_a_proof(void)
{
    static const uint8_t no_proof[] = {SYN, RST, RST | ACK};

    for (size_t i = 0; i < sizeof(no_proof); i++)
        for (int secure = 0; secure < 2; secure++) {
            struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));
            world.director.defense.is_secure = secure;
            CHECK(tcp(&world, 1, SYN) == DR_FORWARDED);
            CHECK(tcp(&world, 1, no_proof[i]) == DR_FORWARDED);
            CHECK(world.director.connections.book->unproved == 1);
            world_free(&world);
        }
}

static void a_fin_is_one(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));

    CHECK(tcp(&world, 1, SYN) == DR_FORWARDED);
    CHECK(tcp(&world, 1, FIN | ACK) == DR_FORWARDED);
    CHECK(world.director.connections.book->unproved == 0);
    world_free(&world);
}

static void what_begins_in_mid_stream_proves_itself_by_its_second_packet(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));

    world.director.tuning.sloppy_tcp = 1;
    CHECK(tcp(&world, 1, ACK) == DR_FORWARDED);
    CHECK(world.director.connections.book->unproved == 1);
    CHECK(tcp(&world, 1, ACK) == DR_FORWARDED);
    CHECK(world.director.connections.book->unproved == 0);
    world_free(&world);
}

static void a_second_datagram_is_a_proof(void)
{
    struct world world = serving(service_on(PROTOCOL_UDP, 80, "rr"));

    CHECK(udp(&world, 1) == DR_FORWARDED);
    CHECK(world.director.connections.book->unproved == 1);
    CHECK(udp(&world, 1) == DR_FORWARDED);
    CHECK(world.director.connections.book->unproved == 0);
    for (uint16_t port = 1000; port < 1200; port++) {
        CHECK(udp(&world, port) == DR_FORWARDED);
        check(&world);
    }
    CHECK(is_there(&world, 1, PROTOCOL_UDP));
    world_free(&world);
}

/* Each client has a template of its own. */
static struct made from(uint32_t client, uint16_t port, uint8_t flags)
{
    struct made made = tcp_frame(port, flags);
    uint8_t *ip = made.bytes + 14;

    ip[13] = (uint8_t)(client >> 16);
    ip[14] = (uint8_t)(client >> 8);
    ip[15] = (uint8_t)client;
    seal(&made);
    return made;
}

static enum dr_verdict tcp_from(struct world *world, uint32_t client, uint16_t port, uint8_t flags)
{
    struct made made = from(client, port, flags);

    return forward_made(world, &made, start_ns);
}

static void templates_of_a_flood_go_with_their_connections(void)
{
    struct world world = serving(persistent_on(80, 300));
    const struct connections_book *book = world.director.connections.book;

    for (uint32_t client = 1; client <= 4; client++) {
        CHECK(tcp_from(&world, client, 1000, SYN) == DR_FORWARDED);
        CHECK(tcp_from(&world, client, 1000, ACK) == DR_FORWARDED);
    }
    CHECK(book->count == 8 && book->unproved == 0);
    for (uint32_t client = 1000; client < 2000; client++) {
        CHECK(tcp_from(&world, client, 1000, SYN) == DR_FORWARDED);
        check(&world);
    }
    CHECK(book->count <= 8 + SHARE);
    CHECK(only_service(&world)->in.connections == 1004);
    for (uint32_t client = 1; client <= 4; client++)
        CHECK(tcp_from(&world, client, 1001, SYN) == DR_FORWARDED);
    for (uint32_t client = 3000; client < 3100; client++)
        CHECK(tcp_from(&world, client, 1000, SYN) == DR_FORWARDED);
    check(&world);
    CHECK(world.director.table.servers[0].persistent >= 4);
    for (uint32_t client = 1; client <= 4; client++)
        CHECK(tcp_from(&world, client, 1000, ACK) == DR_FORWARDED);
    world_free(&world);
}

static void a_template_is_not_displaced_for_its_own_connection(void)
{
    struct world world = serving(persistent_on(80, 300));

    connections_set_share(&world.director.connections, 1);
    for (uint32_t client = 1; client < 50; client++) {
        CHECK(tcp_from(&world, client, 1000, SYN) == DR_FORWARDED);
        check_all(&world.director.connections, &world.director.table);
        CHECK(world.director.connections.book->unproved <= 2);
    }
    world_free(&world);
}

static void a_connection_that_is_begun_anew_is_ended_once(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));

    connections_set_share(&world.director.connections, 1);
    world.director.defense.is_secure = true;
    CHECK(tcp(&world, 1, SYN) == DR_FORWARDED);
    CHECK(tcp(&world, 1, RST) == DR_FORWARDED);
    CHECK(tcp(&world, 1, SYN) == DR_FORWARDED);
    check(&world);
    CHECK(world.director.connections.book->count == 1);
    world_free(&world);
}

static void without_a_share_nothing_is_displaced(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));

    connections_set_share(&world.director.connections, 0);
    for (uint16_t port = 101; port <= 100 + ROOM; port++)
        CHECK(tcp(&world, port, SYN) == DR_FORWARDED);
    CHECK(tcp(&world, 1000, SYN) == DR_TABLE_FULL);
    CHECK(world.director.connections.book->displaced == 0);
    check_all(&world.director.connections, &world.director.table);
    world_free(&world);
}

static void a_share_that_shrinks_is_kept_to_soon(void)
{
    struct world world = serving(service_on(PROTOCOL_TCP, 80, "rr"));

    begin_many(&world, 1000, SHARE);
    connections_set_share(&world.director.connections, 10);
    for (uint16_t port = 2000; port < 2000 + SHARE; port++)
        CHECK(tcp(&world, port, SYN) == DR_FORWARDED);
    check(&world);
    world_free(&world);
}

static void an_adopted_table_knows_who_has_proved_himself(void)
{
    struct world world = serving(persistent_on(80, 300));

    for (uint32_t client = 1; client <= 20; client++)
        CHECK(tcp_from(&world, client, 1000, SYN) == DR_FORWARDED);
    for (uint32_t client = 12; client <= 20; client++)
        CHECK(tcp_from(&world, client, 1000, ACK) == DR_FORWARDED);
    const struct connections_book before = *world.director.connections.book;
    table_close(&world.director.table);
    CHECK(state_map(&world.director, world.region, world.size, &world.limits, start_ns) ==
          STATE_ADOPTED);
    CHECK(table_open(&world.director.table) == 0);
    CHECK(world.director.connections.book->unproved == before.unproved);
    CHECK(world.director.connections.book->count == before.count);
    CHECK(before.unproved > 0 && before.unproved < before.count);
    check(&world);
    world_free(&world);
}

int main(void)
{
    RUN(a_flood_displaces_the_oldest_of_its_like);
    RUN(a_newcomer_that_goes_on_in_time_stays);
    RUN(a_table_full_of_proved_ones_takes_no_more);
    RUN(where_no_room_is_left_the_proved_have_it_first);
    RUN(neither_a_second_syn_nor_a_rst_is_a_proof);
    RUN(a_fin_is_one);
    RUN(what_begins_in_mid_stream_proves_itself_by_its_second_packet);
    RUN(a_second_datagram_is_a_proof);
    RUN(templates_of_a_flood_go_with_their_connections);
    RUN(a_template_is_not_displaced_for_its_own_connection);
    RUN(a_connection_that_is_begun_anew_is_ended_once);
    RUN(without_a_share_nothing_is_displaced);
    RUN(a_share_that_shrinks_is_kept_to_soon);
    RUN(an_adopted_table_knows_who_has_proved_himself);
    return 0;
}
