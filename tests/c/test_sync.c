/* test_sync.c -- when others are told of a connection, and in which bytes. */
#include "sync.h"

#include "invariants.h"
#include "world.h"

enum { ROOM = 65536 };

static const struct dr_tuning defaults = {
    .sync_version = 1,
    .sync_ports = 1,
    .sync_threshold = 3,
    .sync_period = 50,
    .sync_qlen_max = 16,
};

static struct world master_with(struct dr_service service, struct dr_tuning tuning, uint32_t maxlen)
{
    const struct dr_sync_daemon daemon = {.role = DR_SYNC_MASTER, .maxlen = maxlen, .syncid = 5};
    struct world world = world_new(64);

    tuning.conn_reuse_mode = 1;
    world.director.tuning = tuning;
    world.director.sync = sync_new(&daemon, &tuning);
    CHECK(world.director.sync);
    add_service(&world, service);
    add_server(&world, service, 1, 1);
    return world;
}

static struct world master(struct dr_tuning tuning)
{
    return master_with(service_on(PROTOCOL_TCP, 80, "rr"), tuning, 1472);
}

static void end(struct world *world)
{
    sync_free(world->director.sync);
    world_free(world);
}

static void send(struct world *world, uint16_t client_port, uint8_t flags, uint64_t now_ns)
{
    struct made made = tcp_frame(client_port, flags);

    CHECK(forward_made(world, &made, now_ns) == DR_FORWARDED);
}

static void establish(struct world *world, uint16_t client_port, uint64_t now_ns)
{
    send(world, client_port, TCP_SYN, now_ns);
    send(world, client_port, TCP_ACK, now_ns);
    send(world, client_port, TCP_ACK, now_ns);
}

static size_t take(struct world *world, uint64_t now_ns, uint8_t *bytes)
{
    uint32_t port;

    return sync_take(&world->director, tick_of(now_ns), &port, bytes, ROOM);
}

/* How many connections others were told of since the last look. */
static uint64_t told(struct world *world)
{
    uint64_t count = world->director.sync_stats.announced;

    world->director.sync_stats.announced = 0;
    return count;
}

static const uint64_t flush_ns = 2100000000;

static void an_established_connection_is_told_of_in_the_kernels_bytes(void)
{
    static const uint8_t golden[] = {
        0x00, 0x05, 0x00, 0x2c, 0x01, 0x01, 0x00, 0x00, 0x00, 0x06, 0x00, 0x24, 0x00, 0x00, 0x00,
        0x83, 0x00, 0x01, 0xc3, 0x50, 0x00, 0x50, 0x00, 0x50, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x03, 0x84, 10,   1,    0,    1,    10,   9,    0,    100,  10,   9,    0,    11};
    struct world world = master(defaults);
    uint8_t bytes[ROOM];

    establish(&world, 50000, start_ns);
    CHECK(take(&world, start_ns, bytes) == 0);
    CHECK(take(&world, start_ns + flush_ns, bytes) == sizeof(golden));
    CHECK(memcmp(bytes, golden, sizeof(golden)) == 0);
    CHECK(take(&world, start_ns + flush_ns, bytes) == 0);
    end(&world);
}

static void of_ipv6_the_entry_is_72_bytes(void)
{
    struct world world = master_with(service6_on(PROTOCOL_TCP, 80, "rr"), defaults, 1472);
    static const uint8_t flags[] = {TCP_SYN, TCP_ACK, TCP_ACK};
    uint8_t bytes[ROOM];

    for (size_t i = 0; i < sizeof(flags); i++) {
        struct made made = tcp6_frame(50000, flags[i]);
        CHECK(forward_made(&world, &made, start_ns) == DR_FORWARDED);
    }
    CHECK(take(&world, start_ns + flush_ns, bytes) == 8 + 72);
    CHECK(bytes[8] == 1 && read16(bytes + 10) == 72);
    CHECK(memcmp(bytes + 8 + 24, client_ip6, ADDRESS) == 0);
    CHECK(memcmp(bytes + 8 + 40, vip6, ADDRESS) == 0);
    end(&world);
}

static void the_old_protocol_has_24_bytes_and_no_timeout(void)
{
    static const uint8_t golden[] = {1,    5,    0x00, 28, 0x00, 0x06, 0xc3, 0x50, 0x00, 0x50,
                                     0x00, 0x50, 10,   1,  0,    1,    10,   9,    0,    100,
                                     10,   9,    0,    11, 0x00, 0x83, 0x00, 0x01};
    struct dr_tuning tuning = defaults;
    uint8_t bytes[ROOM];

    tuning.sync_version = 0;
    struct world world = master(tuning);
    establish(&world, 50000, start_ns);
    CHECK(take(&world, start_ns + flush_ns, bytes) == sizeof(golden));
    CHECK(memcmp(bytes, golden, sizeof(golden)) == 0);
    end(&world);
}

static void it_is_told_again_every_50_packets_and_at_its_end(void)
{
    struct world world = master(defaults);

    send(&world, 1000, TCP_SYN, start_ns);
    send(&world, 1000, TCP_ACK, start_ns);
    CHECK(told(&world) == 0);
    send(&world, 1000, TCP_ACK, start_ns);
    CHECK(told(&world) == 1);
    for (int packet = 4; packet < 53; packet++)
        send(&world, 1000, TCP_ACK, start_ns);
    CHECK(told(&world) == 0);
    send(&world, 1000, TCP_ACK, start_ns);
    CHECK(told(&world) == 1);
    send(&world, 1000, TCP_FIN | TCP_ACK, start_ns);
    CHECK(told(&world) == 1);
    send(&world, 1000, TCP_ACK, start_ns);
    CHECK(told(&world) == 0);
    send(&world, 1000, TCP_RST, start_ns);
    CHECK(told(&world) == 1);
    end(&world);
}

static void packets_are_counted_beyond_the_bits_in_the_entry(void)
{
    struct dr_tuning tuning = defaults;

    tuning.sync_period = 3000;
    tuning.sync_threshold = 2500;
    struct world world = master(tuning);
    for (int packet = 1; packet < 2500; packet++)
        send(&world, 1000, packet == 1 ? TCP_SYN : TCP_ACK, start_ns);
    CHECK(told(&world) == 0);
    send(&world, 1000, TCP_ACK, start_ns);
    CHECK(told(&world) == 1);
    end(&world);
}

static void what_was_told_lately_is_repeated_only_so_often(void)
{
    struct dr_tuning tuning = defaults;

    tuning.sync_period = 0;
    tuning.sync_refresh_period = 8;
    tuning.sync_retries = 2;
    struct world world = master(tuning);
    send(&world, 1000, TCP_SYN, start_ns);
    send(&world, 1000, TCP_ACK, start_ns);
    CHECK(told(&world) == 1);
    send(&world, 1000, TCP_ACK, start_ns); /* not before an eighth of the period */
    CHECK(told(&world) == 0);
    for (int repeated = 0; repeated < 4; repeated++)
        send(&world, 1000, TCP_ACK, start_ns + 2 * second_ns);
    CHECK(told(&world) <= 2);
    send(&world, 1000, TCP_ACK, start_ns + 20 * second_ns);
    CHECK(told(&world) == 1);
    end(&world);
}

static void a_template_is_told_of_with_every_packet_of_its_connections(void)
{
    struct world world = master_with(persistent_on(80, 300), defaults, 1472);
    uint8_t bytes[ROOM];

    establish(&world, 1000, start_ns);
    CHECK(told(&world) == 4);
    CHECK(take(&world, start_ns + flush_ns, bytes) == 8 + 4 * 36);
    CHECK(read32(bytes + 8 + 4) == 0x1183 && read16(bytes + 8 + 8) == 0);
    CHECK(read32(bytes + 44 + 4) == 0x1183 && read16(bytes + 44 + 8) == 1);
    CHECK(read32(bytes + 80 + 4) == 0x83 && read32(bytes + 116 + 4) == 0x1183);
    CHECK(read32(bytes + 8 + 20) == 300 && read16(bytes + 8 + 10) == 0);
    end(&world);
}

static void persist_mode_tells_of_templates_alone(void)
{
    struct dr_tuning tuning = defaults;

    tuning.sync_persist_mode = 1;
    struct world world = master_with(persistent_on(80, 300), tuning, 1472);
    establish(&world, 1000, start_ns);
    CHECK(told(&world) == 3);
    end(&world);
}

static void a_template_that_lives_on_is_told_of_with_its_new_timeout(void)
{
    struct world world = master_with(persistent_on(80, 10), defaults, 1472);
    struct connections *connections = &world.director.connections;
    uint8_t bytes[ROOM];

    connections->listener =
        (struct connections_listener){.rearmed = sync_rearmed, .whose = &world.director};
    establish(&world, 1000, start_ns);
    CHECK(take(&world, start_ns + flush_ns, bytes) > 0);
    CHECK(told(&world) == 4);
    uint64_t later_ns = start_ns + 12 * second_ns;
    connections_expire(connections, &world.director.table, tick_of(later_ns), 64);
    CHECK(told(&world) == 1);
    CHECK(take(&world, later_ns + flush_ns, bytes) == 44);
    CHECK(read32(bytes + 8 + 4) == 0x1183 && read32(bytes + 8 + 20) == 60);
    end(&world);
}

static void of_one_packet_scheduling_only_the_template_is_told(void)
{
    struct dr_service service = service_on(PROTOCOL_UDP, 80, "rr");
    struct made datagram = udp_frame(1000);

    service.flags = DR_ONE_PACKET;
    struct world world = master_with(service, defaults, 1472);
    for (int i = 0; i < 5; i++)
        CHECK(forward_made(&world, &datagram, start_ns) == DR_FORWARDED);
    CHECK(told(&world) == 0);
    end(&world);

    service.flags = DR_ONE_PACKET | DR_PERSISTENT;
    service.persistent_s = 300;
    world = master_with(service, defaults, 1472);
    for (int i = 0; i < 5; i++)
        CHECK(forward_made(&world, &datagram, start_ns) == DR_FORWARDED);
    CHECK(told(&world) == 5);
    end(&world);
}

static void udp_is_told_of_at_its_third_datagram(void)
{
    struct world world = master_with(service_on(PROTOCOL_UDP, 80, "rr"), defaults, 1472);
    struct made datagram = udp_frame(1000);

    for (int i = 0; i < 2; i++)
        CHECK(forward_made(&world, &datagram, start_ns) == DR_FORWARDED);
    CHECK(told(&world) == 0);
    CHECK(forward_made(&world, &datagram, start_ns) == DR_FORWARDED);
    CHECK(told(&world) == 1);
    end(&world);
}

static void a_full_message_goes_at_once_and_one_too_many_is_lost(void)
{
    struct dr_tuning tuning = defaults;
    uint8_t bytes[ROOM];

    tuning.sync_qlen_max = 2;
    struct world world = master_with(service_on(PROTOCOL_TCP, 80, "rr"), tuning, 8 + 2 * 36);
    for (uint16_t client = 0; client < 9; client++)
        establish(&world, 1000 + client, start_ns);
    CHECK(world.director.sync_stats.discarded == 2);
    for (int i = 0; i < 2; i++)
        CHECK(take(&world, start_ns, bytes) == 8 + 2 * 36 && bytes[4] == 2);
    CHECK(take(&world, start_ns, bytes) == 0);
    CHECK(take(&world, start_ns + flush_ns, bytes) == 44);
    end(&world);
}

static void even_the_shortest_messages_hold_one_entry(void)
{
    struct world world = master_with(service_on(PROTOCOL_TCP, 80, "rr"), defaults, 1);
    uint8_t bytes[ROOM];

    establish(&world, 1000, start_ns);
    establish(&world, 1001, start_ns);
    CHECK(take(&world, start_ns, bytes) == 44);
    end(&world);
}

static void a_connection_keeps_to_its_port(void)
{
    struct dr_tuning tuning = defaults;
    uint8_t bytes[ROOM];
    uint32_t port = 9;

    tuning.sync_ports = 4;
    struct world world = master(tuning);
    for (uint16_t client = 0; client < 8; client++)
        establish(&world, 1000 + client, start_ns);
    for (uint32_t expected = 0; expected < 4; expected++) {
        uint32_t tick = tick_of(start_ns + flush_ns);
        CHECK(sync_take(&world.director, tick, &port, bytes, ROOM) == 8 + 2 * 36);
        CHECK(port == expected);
    }
    end(&world);
}

int main(void)
{
    RUN(an_established_connection_is_told_of_in_the_kernels_bytes);
    RUN(of_ipv6_the_entry_is_72_bytes);
    RUN(the_old_protocol_has_24_bytes_and_no_timeout);
    RUN(it_is_told_again_every_50_packets_and_at_its_end);
    RUN(packets_are_counted_beyond_the_bits_in_the_entry);
    RUN(what_was_told_lately_is_repeated_only_so_often);
    RUN(a_template_is_told_of_with_every_packet_of_its_connections);
    RUN(persist_mode_tells_of_templates_alone);
    RUN(a_template_that_lives_on_is_told_of_with_its_new_timeout);
    RUN(of_one_packet_scheduling_only_the_template_is_told);
    RUN(udp_is_told_of_at_its_third_datagram);
    RUN(a_full_message_goes_at_once_and_one_too_many_is_lost);
    RUN(even_the_shortest_messages_hold_one_entry);
    RUN(a_connection_keeps_to_its_port);
    return 0;
}
