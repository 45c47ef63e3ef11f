/* test_announce.c -- ARP for VIPs: what is answered, what is a conflict, what is neither. */
#include "announce.h"

#include "world.h"

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
    struct dr_frame frame = {
        .data = block, .length = (uint32_t)made->length, .captured = (uint32_t)made->length};
    enum dr_verdict verdict = announce_arp(&world->director.table, director_mac, &frame);

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

int main(void)
{
    RUN(a_question_for_a_vip_is_answered_with_our_address);
    RUN(a_probe_is_answered_too);
    RUN(who_sends_from_a_vip_is_in_conflict_whatever_it_asks);
    RUN(the_rest_is_left_as_it_came);
    RUN(a_cut_off_frame_is_malformed_at_every_length);
    RUN(an_address_is_a_vip_until_its_last_service_is_gone);
}
