/* test_forward.c -- one frame, one verdict: every kind of frame at every length. */
#include "forward.h"

#include "invariants.h"
#include "world.h"

static struct world world_with_servers(void)
{
    struct world world = world_new(64);

    furnish(&world);
    return world;
}

static enum dr_verdict verdict_of(struct made made)
{
    struct world world = world_with_servers();
    enum dr_verdict verdict = forward_made(&world, &made, start_ns);

    check_all(&world.director.connections, &world.director.table);
    world_free(&world);
    return verdict;
}

static void every_whole_frame_has_its_verdict(void)
{
    static const enum dr_verdict verdicts[KINDS] = {
        [0] = DR_FORWARDED,       [1] = DR_FORWARDED,       [2] = DR_FORWARDED,
        [3] = DR_FORWARDED,       [4] = DR_FRAGMENT_HELD,   [5] = DR_ECHO_ANSWERED,
        [6] = DR_ICMP_FORWARDED,  [7] = DR_WRONG_VLAN,      [8] = DR_ANSWERED,
        [9] = DR_ARP_CONFLICT,    [10] = DR_FORWARDED,      [11] = DR_NO_CONNECTION,
        [12] = DR_FORWARDED,      [13] = DR_FORWARDED,      [14] = DR_FORWARDED,
        [15] = DR_FORWARDED,      [16] = DR_FORWARDED,      [17] = DR_FORWARDED,
        [18] = DR_FORWARDED,      [19] = DR_FRAGMENT_HELD,  [20] = DR_ECHO_ANSWERED,
        [21] = DR_ICMP_FORWARDED, [22] = DR_ANSWERED,       [23] = DR_ICMP_OTHER,
        [24] = DR_ICMP_OTHER,     [25] = DR_OTHER_PROTOCOL, [26] = DR_OTHER_PROTOCOL,
        [27] = DR_NOT_IP,
    };

    for (int kind = 0; kind < KINDS; kind++)
        CHECK(verdict_of(frame_of_kind(kind)) == verdicts[kind]);
}

/* In a block of the cut length, and as a ring slot that is shorter than the frame was. */
static void every_cut_frame_is_refused_and_left_as_it_came(void)
{
    struct world world = world_with_servers();

    for (int kind = 0; kind < KINDS; kind++) {
        struct made made = frame_of_kind(kind);
        for (uint32_t length = 0; length < made.length; length++) {
            uint8_t *block = exact(&made, length);
            struct dr_frame cut = {.data = block, .length = length, .captured = length};
            struct dr_frame shortened = {
                .data = block, .length = (uint32_t)made.length, .captured = length};
            forward(&world.director, &cut, start_ns);
            CHECK(!cut.send && cut.data == block);
            CHECK(forward(&world.director, &shortened, start_ns) == DR_TRUNCATED);
            CHECK(!shortened.send);
            CHECK(length == 0 || memcmp(block, made.bytes, length) == 0);
            free(block);
        }
    }
    CHECK(world.director.connections.book->count == 2);
    world_free(&world);
}

static void only_the_two_addresses_of_a_forwarded_frame_change(void)
{
    struct world world = world_with_servers();

    for (int kind = 0; kind < KINDS; kind++) {
        struct made made = frame_of_kind(kind);
        uint8_t *block = exact(&made, made.length);
        struct dr_frame frame = frame_around(block, &made);
        enum dr_verdict verdict = forward(&world.director, &frame, start_ns);
        release_held(&world, start_ns);
        if (verdict != DR_FORWARDED && verdict != DR_ICMP_FORWARDED) {
            free(block);
            continue;
        }
        CHECK(frame.send && frame.data == block && frame.length == made.length);
        CHECK(memcmp(block, server_mac, MAC) == 0);
        CHECK(memcmp(block + MAC, director_mac, MAC) == 0);
        CHECK(memcmp(block + 12, made.bytes + 12, made.length - 12) == 0);
        free(block);
    }
    world_free(&world);
}

static void whose_frame_it_is_decides_the_ethernet_header(void)
{
    static const uint8_t other[MAC] = {0x02, 0, 0, 0, 0, 0xee};
    static const uint8_t broadcast[MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct made ours = tcp_frame(1000, 0x02);
    struct made theirs = tcp_frame(1000, 0x02);
    struct made everybodys = tcp_frame(1000, 0x02);
    struct made arp = arp_frame(1, client_ip, vip);
    struct made unicast = arp_frame(1, client_ip, vip);

    memcpy(ours.bytes + MAC, director_mac, MAC);
    memcpy(theirs.bytes, other, MAC);
    memcpy(everybodys.bytes, broadcast, MAC);
    memcpy(arp.bytes, other, MAC);
    memcpy(unicast.bytes, director_mac, MAC);
    CHECK(verdict_of(ours) == DR_OWN_FRAME);
    CHECK(verdict_of(theirs) == DR_NOT_FOR_US);
    CHECK(verdict_of(everybodys) == DR_NOT_FOR_US);
    CHECK(verdict_of(arp) == DR_ARP_OTHER);
    CHECK(verdict_of(unicast) == DR_ANSWERED);
}

static enum dr_verdict verdict_of_length(uint32_t length, uint16_t gso_size)
{
    struct world world = world_with_servers();
    struct made made = tcp_frame(1000, 0x02);
    uint8_t *block = calloc(1, length);

    CHECK(block);
    made.bytes[16] = (uint8_t)((length - 14) >> 8);
    made.bytes[17] = (uint8_t)(length - 14);
    seal(&made);
    memcpy(block, made.bytes, made.length);
    struct dr_frame frame = {
        .data = block, .length = length, .captured = length, .gso_size = gso_size};
    enum dr_verdict verdict = forward(&world.director, &frame, start_ns);
    free(block);
    world_free(&world);
    return verdict;
}

static void a_frame_may_be_as_long_as_the_mtu_and_a_joined_one_longer(void)
{
    CHECK(verdict_of_length(14 + 1500, 0) == DR_FORWARDED);
    CHECK(verdict_of_length(14 + 1501, 0) == DR_OVERSIZE);
    CHECK(verdict_of_length(14 + 1501, 1448) == DR_FORWARDED);
    CHECK(verdict_of_length(14 + 65535, 1448) == DR_FORWARDED);
}

static void a_full_table_takes_no_new_connection_and_keeps_the_old_ones(void)
{
    struct world world = world_with_servers();

    connections_set_share(&world.director.connections, 0);
    for (uint16_t port = 1003; port <= 1064; port++) {
        struct made made = tcp_frame(port, 0x02);
        CHECK(forward_made(&world, &made, start_ns) == DR_FORWARDED);
    }
    struct made one_more = tcp_frame(1065, 0x02);
    struct made known = tcp_frame(1064, 0x10);
    CHECK(forward_made(&world, &one_more, start_ns) == DR_TABLE_FULL);
    CHECK(forward_made(&world, &known, start_ns) == DR_FORWARDED);
    check_all(&world.director.connections, &world.director.table);
    world_free(&world);
}

/* Room for the template, none for its connection. */
static void a_template_without_room_for_its_connection_is_no_harm(void)
{
    struct world world = world_new(3);
    struct dr_service web = persistent_on(80, 300);
    struct made first = tcp_frame(1000, 0x02);
    struct made second = tcp_frame(1000, 0x02);
    struct made third = tcp_frame(1000, 0x02);

    second.bytes[14 + 15]++; /* other clients */
    seal(&second);
    third.bytes[14 + 15] += 2;
    seal(&third);
    connections_set_share(&world.director.connections, 0);
    add_service(&world, web);
    add_server(&world, web, 1, 1);
    CHECK(forward_made(&world, &first, start_ns) == DR_FORWARDED);
    CHECK(forward_made(&world, &second, start_ns) == DR_TABLE_FULL);
    CHECK(forward_made(&world, &third, start_ns) == DR_TABLE_FULL);
    check_all(&world.director.connections, &world.director.table);
    CHECK(world.director.table.servers[0].persistent == 2);
    world_free(&world);
}

static void a_server_without_a_mac_address_keeps_its_connection(void)
{
    struct world world = world_with_servers();
    struct made made = tcp_frame(1000, 0x02);

    CHECK(change(&world, DR_SET_MAC, (struct dr_service){0}, server_number(1, 0, 0), start_ns) ==
          0);
    CHECK(forward_made(&world, &made, start_ns) == DR_NO_MAC);
    know_mac(&world, 1);
    CHECK(forward_made(&world, &made, start_ns) == DR_FORWARDED);
    CHECK(world.director.connections.book->created == 2 + 1);
    world_free(&world);
}

/* ---- Answers take the frame's place ---- */

static void an_error_is_an_answer_in_a_buffer_of_our_own(void)
{
    struct world world = world_new(64);
    struct made made = tcp_frame(1000, 0x02);
    uint8_t *block = exact(&made, made.length);
    struct dr_frame frame = frame_around(block, &made);

    add_service(&world, service_on(PROTOCOL_TCP, 80, "rr"));
    frame.gso_size = 100;
    CHECK(forward(&world.director, &frame, start_ns) == DR_NO_SERVER);
    CHECK(frame.send && frame.data != block && frame.gso_size == 0);
    CHECK(frame.length == 14 + 20 + 8 + 40 && frame.captured == frame.length);
    CHECK(memcmp(frame.data, client_mac, MAC) == 0);
    CHECK(memcmp(frame.data + MAC, director_mac, MAC) == 0);
    CHECK(memcmp(frame.data + 14 + 20, "\3\3", 2) == 0);
    CHECK(memcmp(frame.data + 14 + 28, made.bytes + 14, 40) == 0);
    CHECK(memcmp(block, made.bytes, made.length) == 0);
    free(block);
    world_free(&world);
}

/* The longest that can be quoted, and beyond: the buffer is as long as the longest answer. */
static void an_error_quotes_no_more_than_it_may(void)
{
    for (int version = 4; version <= 6; version += 2) {
        uint32_t most = version == 4 ? 14 + 576 : 14 + 1280;
        uint32_t around = version == 4 ? 28 : 48;
        for (uint32_t ip = 60; ip <= 1500; ip++) {
            struct world world = world_new(64);
            struct made made = version == 4 ? tcp_frame(1000, 0x02) : tcp6_frame(1000, 0x02);
            uint8_t *block = calloc(1, 14 + ip);
            CHECK(block);
            made.bytes[version == 4 ? 16 : 18] = (uint8_t)((ip - (version == 4 ? 0 : 40)) >> 8);
            made.bytes[version == 4 ? 17 : 19] = (uint8_t)(ip - (version == 4 ? 0 : 40));
            if (version == 4)
                seal(&made);
            memcpy(block, made.bytes, made.length);
            struct dr_frame frame = {.data = block, .length = 14 + ip, .captured = 14 + ip};
            add_service(&world, version == 4 ? service_on(PROTOCOL_TCP, 80, "rr")
                                             : service6_on(PROTOCOL_TCP, 80, "rr"));
            CHECK(forward(&world.director, &frame, start_ns) == DR_NO_SERVER);
            CHECK(frame.length == (14 + around + ip < most ? 14 + around + ip : most));
            free(block);
            world_free(&world);
        }
    }
}

/* ---- Fragments ---- */

/* Behind it more are to come, so that copies of it may follow. */
static struct made middle_fragment(int version)
{
    struct made made = version == 4 ? later_fragment() : later_fragment6();

    if (version == 6) {
        made.bytes[14 + 43] |= 1;
        return made;
    }
    made.bytes[14 + 6] |= 0x20;
    seal(&made);
    return made;
}

static void later_fragments_follow_the_first(void)
{
    for (int version = 4; version <= 6; version += 2) {
        struct world world = world_with_servers();
        struct made first = version == 4 ? first_fragment() : first_fragment6();
        struct made later = middle_fragment(version);
        CHECK(forward_made(&world, &later, start_ns) == DR_FRAGMENT_HELD);
        CHECK(release_held(&world, start_ns) == 0);
        CHECK(forward_made(&world, &later, start_ns) == DR_FRAGMENT_HELD);
        world.director.stats->verdicts[DR_FRAGMENT_HELD] = 2; /* as the engine counts them */
        CHECK(forward_made(&world, &first, start_ns) == DR_FORWARDED);
        CHECK(release_held(&world, start_ns) == 2);
        CHECK(world.director.stats->verdicts[DR_FRAGMENT_HELD] == 0);
        CHECK(world.director.stats->verdicts[DR_FORWARDED] == 2);
        CHECK(forward_made(&world, &later, start_ns) == DR_FORWARDED);
        CHECK(release_held(&world, start_ns) == 0);
        check_all(&world.director.connections, &world.director.table);
        world_free(&world);
    }
}

static void later_fragments_of_a_refused_packet_are_refused(void)
{
    struct world world = world_new(8);
    struct made first = first_fragment();
    struct made later = middle_fragment(4);

    add_service(&world, service_on(PROTOCOL_UDP, 80, "rr"));
    CHECK(forward_made(&world, &later, start_ns) == DR_FRAGMENT_HELD);
    world.director.stats->verdicts[DR_FRAGMENT_HELD] = 1; /* as the engine counts them */
    CHECK(forward_made(&world, &first, start_ns) == DR_NO_SERVER);
    CHECK(release_held(&world, start_ns) == 1);
    CHECK(world.director.stats->verdicts[DR_FRAGMENT_HELD] == 0);
    CHECK(world.director.stats->verdicts[DR_NO_SERVER] == 1);
    CHECK(forward_made(&world, &later, start_ns) == DR_NO_SERVER);
    world_free(&world);
}

/* Nobody joins fragments: one that claims segments, and ends before a header would, is not read
 * beyond its end. */
static void a_later_fragment_that_claims_joined_segments_is_judged_by_its_length(void)
{
    struct world world = world_with_servers();
    struct made first = ipv4(PROTOCOL_TCP, 0, 0x2000);
    struct made later = ipv4(PROTOCOL_TCP, 0, 0x2003);

    put_tcp(&first, 1000, TCP_SYN, 0);
    put(&first, "data", 4);
    put(&later, "only so much", 8);
    first = finish(first);
    later = finish(later);
    CHECK(forward_made(&world, &first, start_ns) == DR_FORWARDED);
    world.director.identity.mtu = 20;
    uint8_t *block = exact(&later, later.length);
    struct dr_frame frame = {.data = block,
                             .length = (uint32_t)later.length,
                             .captured = (uint32_t)later.length,
                             .gso_size = 1};
    CHECK(forward(&world.director, &frame, start_ns) == DR_OVERSIZE);
    CHECK(!frame.send);
    free(block);
    world_free(&world);
}

/* RFC 1858: the ports are in the first eight bytes, the flags are not. */
static void a_first_fragment_may_end_before_its_flags(void)
{
    struct world world = world_with_servers();
    struct made syn = tcp_frame(1000, TCP_SYN);
    struct made reset = tcp_frame(1000, TCP_RST);
    struct made tiny = ipv4(PROTOCOL_TCP, 0, 0x2000);
    struct made unreadable = ipv4(PROTOCOL_TCP, 0, 0x2000);
    struct made whole = ipv4(PROTOCOL_TCP, 0, 0);
    struct flow flow = flow_from(1000, 80);
    const struct connections *connections = &world.director.connections;

    put_ports(&tiny, 1000, 80);
    put(&tiny, "\0\0\0\1", 4);
    put_ports(&whole, 1000, 80);
    put(&whole, "\0\0\0\1", 4);
    put(&unreadable, "\1", 1);
    tiny = finish(tiny);
    whole = finish(whole);
    unreadable = finish(unreadable);
    CHECK(forward_made(&world, &whole, start_ns) == DR_MALFORMED);
    CHECK(forward_made(&world, &unreadable, start_ns) == DR_MALFORMED);
    CHECK(forward_made(&world, &tiny, start_ns) == DR_FORWARDED);
    CHECK(connections_find(connections, &flow)->state == DR_TCP_SYN_RECV);
    CHECK(forward_made(&world, &syn, start_ns) == DR_FORWARDED);
    CHECK(forward_made(&world, &reset, start_ns) == DR_FORWARDED);
    world.director.connections
        .entries[connections_index(connections, connections_find(connections, &flow))]
        .state = DR_TCP_CLOSE;
    CHECK(forward_made(&world, &tiny, start_ns) == DR_FORWARDED);
    CHECK(connections_find(connections, &flow)->state == DR_TCP_CLOSE);
    world_free(&world);
}

/* While the server of a reused flow is picked, the old connection still counts on its server. */
static void a_reused_flow_is_scheduled_while_the_old_entry_counts(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "lc");
    struct made syn = tcp_frame(1000, 0x02);
    struct made ack = tcp_frame(1000, 0x10);
    struct made reset = tcp_frame(1000, 0x04);

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    add_server(&world, web, 2, 1);
    CHECK(forward_made(&world, &syn, start_ns) == DR_FORWARDED);
    CHECK(forward_made(&world, &ack, start_ns) == DR_FORWARDED);
    CHECK(forward_made(&world, &reset, start_ns) == DR_FORWARDED);
    CHECK(world.director.table.servers[1].inactive == 1);
    CHECK(forward_made(&world, &syn, start_ns) == DR_FORWARDED);
    CHECK(world.director.table.servers[0].active == 1);
    CHECK(world.director.table.servers[1].references == 0);
    check_all(&world.director.connections, &world.director.table);
    world_free(&world);
}

int main(void)
{
    RUN(every_whole_frame_has_its_verdict);
    RUN(every_cut_frame_is_refused_and_left_as_it_came);
    RUN(only_the_two_addresses_of_a_forwarded_frame_change);
    RUN(whose_frame_it_is_decides_the_ethernet_header);
    RUN(a_frame_may_be_as_long_as_the_mtu_and_a_joined_one_longer);
    RUN(a_full_table_takes_no_new_connection_and_keeps_the_old_ones);
    RUN(a_template_without_room_for_its_connection_is_no_harm);
    RUN(a_server_without_a_mac_address_keeps_its_connection);
    RUN(an_error_is_an_answer_in_a_buffer_of_our_own);
    RUN(an_error_quotes_no_more_than_it_may);
    RUN(later_fragments_follow_the_first);
    RUN(later_fragments_of_a_refused_packet_are_refused);
    RUN(a_later_fragment_that_claims_joined_segments_is_judged_by_its_length);
    RUN(a_first_fragment_may_end_before_its_flags);
    RUN(a_reused_flow_is_scheduled_while_the_old_entry_counts);
}
