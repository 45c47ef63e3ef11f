/* test_sync_backup.c -- what a backup makes of messages, and that any bytes are survived. */
#include "sync_backup.h"

#include "invariants.h"
#include "slots.h"
#include "sync_message.h"
#include "world.h"

static struct world backup(void)
{
    struct world world = world_new(64);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");

    world.director.tuning.sync_threshold = 3;
    add_service(&world, web);
    add_server(&world, web, 1, 1);
    add_server(&world, web, 2, 1);
    return world;
}

static struct sync_entry entry_from(uint16_t client_port, uint8_t server)
{
    struct sync_entry entry = {
        .flow = flow_from(client_port, 80),
        .server_port = 80,
        .state = DR_TCP_ESTABLISHED,
        .flags = SYNC_DIRECT_ROUTING | SYNC_NO_OUTPUT,
        .timeout_s = 900,
    };

    memcpy(entry.server, server_number(server, 80, 1).address, ADDRESS);
    return entry;
}

/* Bytes in a block of exactly their length. */
static enum sync_received receive_bytes(struct world *world, const uint8_t *bytes, size_t length,
                                        uint8_t syncid)
{
    uint8_t *block = malloc(length ? length : 1);

    CHECK(block);
    memcpy(block, bytes, length);
    enum sync_received received =
        sync_receive(&world->director, block, length, syncid, tick_of(start_ns));
    free(block);
    check_all(&world->director.connections, &world->director.table);
    return received;
}

static enum sync_received receive(struct world *world, const struct sync_entry *entry)
{
    uint8_t message[SYNC_HEADER + SYNC_LONGEST_ENTRY];
    size_t length = sync_begin(message, 1, 7);

    return receive_bytes(world, message, sync_add(message, length, 1, entry), 0);
}

static struct connection *find(struct world *world, uint16_t client_port)
{
    struct flow flow = flow_from(client_port, 80);

    return connections_find(&world->director.connections, &flow);
}

static struct server *server_at(struct world *world, uint8_t number)
{
    struct dr_server config = server_number(number, 80, 1);

    return server_find(&world->director.table, only_service(world), config.address, config.port);
}

static void a_connection_is_taken_over_with_server_state_and_time(void)
{
    struct world world = backup();
    struct sync_entry entry = entry_from(1000, 2);

    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    struct connection *connection = find(&world, 1000);
    CHECK(connection && connection->state == DR_TCP_ESTABLISHED);
    CHECK(connection->timeout_s == 900 && connection->flags & CONNECTION_SYNCED);
    CHECK(connections_packets(&world.director.connections, connection) == 3);
    struct server *server = server_at(&world, 2);
    CHECK(server->active == 1 && server->inactive == 0);
    struct made made = tcp_frame(1000, TCP_ACK);
    CHECK(forward_made(&world, &made, start_ns) == DR_FORWARDED);
    CHECK(server->in.packets == 1 && server->in.connections == 0);
    world_free(&world);
}

static void its_end_moves_it_to_the_other_side(void)
{
    struct world world = backup();
    struct sync_entry entry = entry_from(1000, 2);

    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    entry.flags |= SYNC_INACTIVE;
    entry.state = DR_TCP_FIN_WAIT;
    entry.timeout_s = 120;
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    CHECK(server_at(&world, 2)->active == 0 && server_at(&world, 2)->inactive == 1);
    CHECK(find(&world, 1000)->timeout_s == 120);
    CHECK(world.director.connections.book->count == 1);
    world_free(&world);
}

static void another_server_replaces_it_only_while_it_is_active(void)
{
    struct world world = backup();
    struct sync_entry first = entry_from(1000, 2);
    struct sync_entry other = entry_from(1000, 1);

    CHECK(receive(&world, &first) == SYNC_TAKEN);
    other.flags |= SYNC_INACTIVE;
    CHECK(receive(&world, &other) == SYNC_TAKEN);
    CHECK(server_at(&world, 2)->active == 1 && server_at(&world, 1)->inactive == 0);
    other.flags &= ~(uint32_t)SYNC_INACTIVE;
    CHECK(receive(&world, &other) == SYNC_TAKEN);
    CHECK(server_at(&world, 2)->active == 0 && server_at(&world, 1)->active == 1);
    world_free(&world);
}

static void a_template_keeps_its_client_at_its_server(void)
{
    struct world world = world_new(64);
    struct dr_service web = persistent_on(80, 300);
    struct sync_entry entry = entry_from(0, 2);

    add_service(&world, web);
    add_server(&world, web, 2, 1);
    add_server(&world, web, 1, 1); /* which rr would take first */
    entry.flags |= SYNC_TEMPLATE | SYNC_INACTIVE;
    entry.state = TEMPLATE_ASSURED;
    entry.timeout_s = 0;
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    CHECK(server_at(&world, 2)->persistent == 1 && server_at(&world, 2)->inactive == 0);
    struct made made = tcp_frame(1000, TCP_SYN);
    CHECK(forward_made(&world, &made, start_ns) == DR_FORWARDED);
    CHECK(server_at(&world, 2)->active == 1);
    struct flow key = flow_from(0, 80);
    CHECK(connections_find_template(&world.director.connections, &key)->timeout_s == 180);
    world_free(&world);
}

static void a_server_of_no_service_gets_its_packets_too(void)
{
    struct world world = backup();
    struct sync_entry entry = entry_from(1000, 2);
    struct made datagram = udp_frame(1000);

    entry.flow.protocol = PROTOCOL_UDP;
    entry.state = 0;
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    CHECK(forward_made(&world, &datagram, start_ns) == DR_FORWARDED);
    entry.flow.client_port = 1001;
    entry.server[15] = 77; /* whose MAC address nobody knows */
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    datagram = udp_frame(1001);
    CHECK(forward_made(&world, &datagram, start_ns) == DR_NO_MAC);
    world_free(&world);
}

static void it_joins_the_service_when_that_comes(void)
{
    struct world world = backup();
    struct dr_service names = service_on(PROTOCOL_UDP, 80, "rr");
    struct sync_entry entry = entry_from(1000, 2);

    entry.flow.protocol = PROTOCOL_UDP;
    entry.state = 0;
    entry.flags |= SYNC_INACTIVE;
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    add_service(&world, names);
    add_server(&world, names, 2, 1);
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    const struct service *service =
        table_find_service(&world.director.table, PROTOCOL_UDP, names.address, 80);
    const struct server *server = server_find(&world.director.table, service, entry.server, 80);
    CHECK(server->inactive == 1 && server->references == 1);
    world_free(&world);
}

static void without_any_service_it_goes_nowhere(void)
{
    struct world world = backup();
    struct sync_entry entry = entry_from(1000, 2);
    struct made datagram = udp_frame(1000);

    entry.flow.protocol = PROTOCOL_UDP;
    entry.state = 0;
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    CHECK(change(&world, DR_DELETE_SERVICE, service_on(PROTOCOL_TCP, 80, "rr"),
                 (struct dr_server){0}, start_ns) == 0);
    CHECK(forward_made(&world, &datagram, start_ns) == DR_NO_SERVICE);
    world_free(&world);
}

static void strangers_do_not_use_up_the_servers(void)
{
    struct world world = backup();

    for (uint8_t number = 0; number < 200; number++) {
        struct sync_entry entry = entry_from(1000 + number, number);
        entry.flow.protocol = PROTOCOL_UDP;
        entry.state = 0;
        CHECK(receive(&world, &entry) == SYNC_TAKEN);
    }
    uint32_t foreign = 0;
    for (uint32_t slot = 0; slot < world.limits.servers; slot++)
        foreign += world.director.table.servers[slot].use == SLOT_FOREIGN;
    CHECK(foreign == world.limits.servers / 4);
    world_free(&world);
}

static void other_pairs_and_impossible_entries_are_left_alone(void)
{
    struct world world = backup();
    uint8_t message[SYNC_HEADER + SYNC_LONGEST_ENTRY];
    struct sync_entry entry = entry_from(1000, 2);
    size_t length = sync_add(message, sync_begin(message, 1, 7), 1, &entry);

    CHECK(receive_bytes(&world, message, length, 8) == SYNC_OF_ANOTHER);
    entry.state = DR_TCP_STATES;
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    entry = entry_from(1000, 2);
    entry.flow.protocol = 50;
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    entry = entry_from(1000, 2);
    entry.flags |= SYNC_TEMPLATE;
    entry.state = 2;
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    entry = entry_from(1000, 77);
    entry.flags = 0; /* masquerading to a server we do not have */
    CHECK(receive(&world, &entry) == SYNC_TAKEN);
    CHECK(world.director.connections.book->count == 0);
    CHECK(receive_bytes(&world, message, length, 7) == SYNC_TAKEN);
    CHECK(world.director.connections.book->count == 1);
    world_free(&world);
}

static void the_old_protocol_is_understood(void)
{
    struct world world = backup();
    struct sync_entry entry = entry_from(1000, 2);
    uint8_t message[64];
    size_t length = sync_add(message, sync_begin(message, 0, 7), 0, &entry);

    CHECK(receive_bytes(&world, message, length, 7) == SYNC_TAKEN);
    CHECK(find(&world, 1000)->timeout_s == 900);
    world_free(&world);
}

static void no_cut_of_a_message_is_read_beyond(void)
{
    static const uint8_t options[] = {0x41, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                      0,    0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct world world = backup();
    struct sync_entry entry = entry_from(1000, 2);
    uint8_t message[128];
    size_t length = sync_add(message, sync_begin(message, 1, 7), 1, &entry);

    memcpy(message + length, options, sizeof(options));
    length += sizeof(options);
    write16(message + 8 + 2, 36 + sizeof(options));
    for (size_t cut = 0; cut < length; cut++) {
        write16(message + 2, (uint16_t)cut);
        /* Up to the header it may be an empty message of the old protocol. */
        bool is_malformed = receive_bytes(&world, message, cut, 0) == SYNC_MALFORMED;
        CHECK(is_malformed == (cut < SYNC_HEADER_V0 || cut >= SYNC_HEADER));
        CHECK(world.director.connections.book->count == 0);
    }
    write16(message + 2, (uint16_t)length);
    CHECK(receive_bytes(&world, message, length, 0) == SYNC_TAKEN);
    CHECK(find(&world, 1000));
    world_free(&world);
}

/* Type, length, bytes; and what becomes of the entry and of the message. */
static void options_are_taken_as_the_kernel_takes_them(void)
{
    static const struct {
        uint8_t option[4];
        enum sync_received received;
        bool is_learnt;
    } cases[] = {
        {{0x45, 2, 0, 0}, SYNC_TAKEN, true},      /* unknown, and may be ignored */
        {{0x05, 2, 0, 0}, SYNC_TAKEN, false},     /* unknown, and must not be */
        {{0x02, 2, 0, 0}, SYNC_TAKEN, false},     /* of a persistence engine */
        {{0x01, 2, 0, 0}, SYNC_MALFORMED, false}, /* sequence numbers are 24 bytes */
        {{0x45, 0, 0, 0}, SYNC_MALFORMED, false}, {{0x45, 3, 0, 0}, SYNC_MALFORMED, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world = backup();
        struct sync_entry entry = entry_from(1000, 2);
        uint8_t message[64];
        size_t length = sync_add(message, sync_begin(message, 1, 7), 1, &entry);
        memcpy(message + length, cases[i].option, 4);
        write16(message + 2, (uint16_t)(length + 4));
        write16(message + 8 + 2, 36 + 4);
        CHECK(receive_bytes(&world, message, length + 4, 0) == cases[i].received);
        CHECK(!!find(&world, 1000) == cases[i].is_learnt);
        world_free(&world);
    }
}

int main(void)
{
    RUN(a_connection_is_taken_over_with_server_state_and_time);
    RUN(its_end_moves_it_to_the_other_side);
    RUN(another_server_replaces_it_only_while_it_is_active);
    RUN(a_template_keeps_its_client_at_its_server);
    RUN(a_server_of_no_service_gets_its_packets_too);
    RUN(it_joins_the_service_when_that_comes);
    RUN(without_any_service_it_goes_nowhere);
    RUN(strangers_do_not_use_up_the_servers);
    RUN(other_pairs_and_impossible_entries_are_left_alone);
    RUN(the_old_protocol_is_understood);
    RUN(no_cut_of_a_message_is_read_beyond);
    RUN(options_are_taken_as_the_kernel_takes_them);
    return 0;
}
