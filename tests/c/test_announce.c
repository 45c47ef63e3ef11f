/* test_announce.c -- ARP and neighbour discovery for VIPs: what is answered, what is a conflict,
 * what is neither. */
#include "announce.h"

#include "world.h"

enum { ADVERTISEMENT_BYTES = ETHERNET_HEADER + 40 + 32 };

static const uint8_t other_ip[4] = {10, 9, 0, 1};
static const uint8_t nobody[4] = {0, 0, 0, 0};

static struct world world_with_a_vip(void)
{
    struct world world = world_new(8);

    add_service(&world, service_on(PROTOCOL_TCP, 80, "rr"));
    return world;
}

static enum dr_verdict announce(struct world *world, struct made *made)
{
    uint8_t *block = exact(made, made->length);
    struct dr_frame frame = frame_around(block, made);
    struct packet packet;

    packet_parse(block, made->length, &packet);
    enum dr_verdict verdict = announce_arp(&world->director.table, director_mac, &frame, &packet);

    memcpy(made->bytes, block, made->length);
    free(block);
    return verdict;
}

static void a_question_for_a_vip_is_answered_with_our_address(void)
{
    struct world world = world_with_a_vip();
    struct made made = arp_frame(1, client_ip, vip);

    CHECK(announce(&world, &made) == DR_ANSWERED);
    CHECK(memcmp(made.bytes, client_mac, MAC) == 0);
    CHECK(memcmp(made.bytes + 6, director_mac, MAC) == 0);
    CHECK(memcmp(made.bytes + 12, "\x08\x06\0\1\x08\0\x06\x04\0\2", 10) == 0);
    CHECK(memcmp(made.bytes + 22, director_mac, MAC) == 0);
    CHECK(memcmp(made.bytes + 28, vip, 4) == 0);
    CHECK(memcmp(made.bytes + 32, client_mac, MAC) == 0);
    CHECK(memcmp(made.bytes + 38, client_ip, 4) == 0);
    world_free(&world);
}

/* RFC 5227: whoever probes an address before taking it must hear that it is taken. */
static void a_probe_is_answered_too(void)
{
    struct world world = world_with_a_vip();
    struct made made = arp_frame(1, nobody, vip);

    CHECK(announce(&world, &made) == DR_ANSWERED);
    CHECK(memcmp(made.bytes + 38, nobody, 4) == 0);
    world_free(&world);
}

static void who_sends_from_a_vip_is_in_conflict_whatever_it_asks(void)
{
    struct world world = world_with_a_vip();
    struct made reply = arp_frame(2, vip, client_ip);
    struct made gratuitous = arp_frame(1, vip, vip);

    CHECK(announce(&world, &reply) == DR_ARP_CONFLICT);
    CHECK(announce(&world, &gratuitous) == DR_ARP_CONFLICT);
    world_free(&world);
}

static void the_rest_is_left_as_it_came(void)
{
    struct world world = world_with_a_vip();
    struct made frames[] = {
        arp_frame(1, client_ip, other_ip), /* a question for somebody else */
        arp_frame(2, other_ip, vip),       /* an answer */
        arp_frame(0, client_ip, vip),      /* no operation that RFC 826 knows */
        arp_frame(1, client_ip, vip),      /* three that are not IPv4 over Ethernet: */
        arp_frame(1, client_ip, vip),      arp_frame(1, client_ip, vip),
    };

    frames[3].bytes[15] = 6;
    frames[4].bytes[16] = 0x86;
    frames[5].bytes[19] = 16;
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct made before = frames[i];
        CHECK(announce(&world, &frames[i]) == DR_ARP_OTHER);
        CHECK(memcmp(&before, &frames[i], sizeof(before)) == 0);
    }
    world_free(&world);
}

static void a_cut_off_frame_is_malformed_at_every_length(void)
{
    struct world world = world_with_a_vip();
    struct made whole = arp_frame(1, client_ip, vip);

    for (size_t length = 14; length < whole.length; length++) {
        struct made made = whole;
        made.length = length;
        CHECK(announce(&world, &made) == DR_MALFORMED);
    }
    world_free(&world);
}

static void an_address_is_a_vip_until_its_last_service_is_gone(void)
{
    struct world world = world_with_a_vip();
    struct dr_service first = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_service second = service_on(PROTOCOL_UDP, 80, "rr");
    struct made made = arp_frame(1, client_ip, vip);
    struct made again = made;
    struct made last = made;

    add_service(&world, second);
    CHECK(change(&world, DR_DELETE_SERVICE, first, (struct dr_server){0}, start_ns) == 0);
    CHECK(announce(&world, &again) == DR_ANSWERED);
    CHECK(change(&world, DR_DELETE_SERVICE, second, (struct dr_server){0}, start_ns) == 0);
    CHECK(announce(&world, &last) == DR_ARP_OTHER);
    world_free(&world);
}

/* ---- Neighbour discovery ---- */

static size_t advertise(struct world *world, struct made made, uint8_t out[ANNOUNCE_ROOM])
{
    uint8_t *block = exact(&made, made.length);
    struct packet packet;
    size_t length = 0;

    if (packet_parse(block, made.length, &packet) == PACKET_ICMP)
        length = announce_nd(out, &world->director.table, director_mac, block, &packet);
    free(block);
    return length;
}

static struct world world_with_a_vip6(void)
{
    struct world world = world_new(8);

    add_service(&world, service6_on(PROTOCOL_TCP, 80, "rr"));
    return world;
}

static void a_solicitation_for_a_vip_is_answered_with_our_address(void)
{
    struct world world = world_with_a_vip6();
    uint8_t out[ANNOUNCE_ROOM];

    CHECK(advertise(&world, solicitation_frame(), out) == ADVERTISEMENT_BYTES);
    CHECK(memcmp(out, client_mac, MAC) == 0 && memcmp(out + 6, director_mac, MAC) == 0);
    CHECK(memcmp(out + 12, "\x86\xdd\x60\0\0\0\0\x20\x3a\xff", 10) == 0);
    CHECK(memcmp(out + 22, vip6, 16) == 0 && memcmp(out + 38, client_ip6, 16) == 0);
    CHECK(out[54] == 136 && out[55] == 0 && out[58] == 0x60);
    CHECK(memcmp(out + 62, vip6, 16) == 0);
    CHECK(out[78] == 2 && out[79] == 1 && memcmp(out + 80, director_mac, MAC) == 0);
    struct made answer = {.length = ADVERTISEMENT_BYTES};
    memcpy(answer.bytes, out, ADVERTISEMENT_BYTES);
    seal_icmp6(&answer);
    CHECK(memcmp(answer.bytes, out, ADVERTISEMENT_BYTES) == 0);
    world_free(&world);
}

/* RFC 4861 section 7.2.4. */
static void who_tries_the_address_out_is_told_together_with_everybody(void)
{
    static const uint8_t unspecified[16];
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    struct world world = world_with_a_vip6();
    uint8_t out[ANNOUNCE_ROOM];

    CHECK(advertise(&world, solicitation_from(unspecified), out) == ADVERTISEMENT_BYTES);
    CHECK(memcmp(out, "\x33\x33\0\0\0\1", 6) == 0);
    CHECK(memcmp(out + 38, all_nodes, 16) == 0 && out[58] == 0x20);
    world_free(&world);
}

/* RFC 4861 section 7.1.1. */
static void what_is_no_valid_solicitation_for_a_vip_is_not_answered(void)
{
    struct world world = world_with_a_vip6();
    struct made hops = solicitation_frame();
    struct made code = solicitation_frame();
    struct made sum = solicitation_frame();
    struct made other = solicitation_frame();
    uint8_t out[ANNOUNCE_ROOM];

    hops.bytes[14 + 7] = 254;
    CHECK(advertise(&world, hops, out) == 0);
    code.bytes[54 + 1] = 1;
    seal_icmp6(&code);
    CHECK(advertise(&world, code, out) == 0);
    sum.bytes[54 + 2] ^= 1;
    CHECK(advertise(&world, sum, out) == 0);
    other.bytes[54 + 8 + 15] ^= 1;
    seal_icmp6(&other);
    CHECK(advertise(&world, other, out) == 0);
    world_free(&world);
}

static void a_solicitation_needs_no_option_but_its_whole_target(void)
{
    struct world world = world_with_a_vip6();
    struct made whole = solicitation_frame();
    uint8_t out[ANNOUNCE_ROOM];

    for (size_t length = 54 + 8; length <= whole.length; length++) {
        struct made made = whole;
        made.length = length;
        made = finish6(made);
        seal_icmp6(&made);
        CHECK((advertise(&world, made, out) > 0) == (length == 54 + 24 || length == 54 + 32));
    }
    world_free(&world);
}

/* RFC 4861 sections 4.6 and 7.1.1. */
static void options_that_are_not_sound_make_a_solicitation_invalid(void)
{
    static const struct {
        uint8_t type, length;
        bool is_answered;
    } options[] = {
        {1, 1, true}, {14, 1, true}, {1, 0, false}, {14, 0, false}, {14, 2, false}, {1, 255, false},
    };
    struct world world = world_with_a_vip6();
    uint8_t out[ANNOUNCE_ROOM];

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        struct made made = solicitation_frame();
        made.bytes[54 + 24] = options[i].type;
        made.bytes[54 + 25] = options[i].length;
        seal_icmp6(&made);
        CHECK((advertise(&world, made, out) > 0) == options[i].is_answered);
    }
    struct made wide = solicitation_frame(); /* a source of fourteen bytes */
    wide.bytes[54 + 25] = 2;
    put(&wide, client_ip6, 8);
    wide = finish6(wide);
    seal_icmp6(&wide);
    CHECK(advertise(&world, wide, out) == 0);
    world_free(&world);
}

static void who_has_no_address_asks_a_group_and_says_no_mac_address(void)
{
    static const uint8_t unspecified[16];
    struct world world = world_with_a_vip6();
    struct made telling = solicitation_from(unspecified);
    struct made alone = solicitation_from(unspecified);
    struct made all_nodes = solicitation_from(unspecified);
    uint8_t out[ANNOUNCE_ROOM];

    put(&telling, "\1\1", 2);
    put(&telling, client_mac, 6);
    telling = finish6(telling);
    seal_icmp6(&telling);
    CHECK(advertise(&world, telling, out) == 0);
    memcpy(alone.bytes + 14 + 24, vip6, 16);
    seal_icmp6(&alone);
    CHECK(advertise(&world, alone, out) == 0);
    memcpy(all_nodes.bytes + 14 + 24, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    seal_icmp6(&all_nodes);
    CHECK(advertise(&world, all_nodes, out) == 0);
    world_free(&world);
}

static void what_no_station_sent_is_not_answered(void)
{
    static const uint8_t no_station[][MAC] = {{0},
                                              {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                              {3, 0xbf, 10, 10, 10, 62},
                                              {0x33, 0x33, 0, 0, 0, 1}};
    struct world world = world_with_a_vip6();
    uint8_t out[ANNOUNCE_ROOM];

    add_service(&world, service_on(PROTOCOL_TCP, 80, "rr"));
    for (size_t i = 0; i < sizeof(no_station) / sizeof(no_station[0]); i++) {
        struct made solicitation = solicitation_frame();
        struct made question = arp_frame(1, client_ip, vip);
        struct made claim = arp_frame(2, vip, client_ip);
        memcpy(solicitation.bytes + MAC, no_station[i], MAC);
        memcpy(question.bytes + 14 + 8, no_station[i], MAC);
        memcpy(claim.bytes + 14 + 8, no_station[i], MAC);
        CHECK(advertise(&world, solicitation, out) == 0);
        CHECK(announce(&world, &question) == DR_ARP_OTHER);
        CHECK(announce(&world, &claim) == DR_ARP_OTHER);
    }
    world_free(&world);
}

int main(void)
{
    RUN(a_question_for_a_vip_is_answered_with_our_address);
    RUN(a_probe_is_answered_too);
    RUN(who_sends_from_a_vip_is_in_conflict_whatever_it_asks);
    RUN(the_rest_is_left_as_it_came);
    RUN(a_cut_off_frame_is_malformed_at_every_length);
    RUN(an_address_is_a_vip_until_its_last_service_is_gone);
    RUN(a_solicitation_for_a_vip_is_answered_with_our_address);
    RUN(who_tries_the_address_out_is_told_together_with_everybody);
    RUN(what_is_no_valid_solicitation_for_a_vip_is_not_answered);
    RUN(a_solicitation_needs_no_option_but_its_whole_target);
    RUN(options_that_are_not_sound_make_a_solicitation_invalid);
    RUN(who_has_no_address_asks_a_group_and_says_no_mac_address);
    RUN(what_no_station_sent_is_not_answered);
}
