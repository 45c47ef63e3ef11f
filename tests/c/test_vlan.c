/* test_vlan.c -- tags: which VLAN a frame is in, and that they change nothing else about it. */
#include "invariants.h"
#include "world.h"

enum { CUSTOMER = 0x8100, SERVICE = 0x88a8 };

static enum packet_kind parse(const struct made *made, size_t length, struct packet *packet)
{
    uint8_t *block = exact(made, length);
    enum packet_kind kind = packet_parse(block, length, packet);

    free(block);
    return kind;
}

static void is_in(struct made made, uint32_t vlan, uint16_t network)
{
    struct packet packet;

    CHECK(parse(&made, made.length, &packet) == PACKET_TRANSPORT);
    CHECK(packet.vlan == vlan && packet.network == network);
    CHECK(packet.transport == network + 20 && packet.ip_length == 40);
    CHECK(packet.flow.client_port == 1000 && packet.flow.port == 80);
}

static void the_identifiers_of_one_tag_or_two_are_the_vlan(void)
{
    struct made plain = tcp_frame(1000, 0x02);

    is_in(plain, 0, 14);
    is_in(tag(plain, CUSTOMER, 100), 100, 18);
    is_in(tag(plain, CUSTOMER, 0xf000 | 100), 100, 18); /* priority and drop eligibility */
    is_in(tag(plain, CUSTOMER, 4094), 4094, 18);
    is_in(tag(tag(plain, CUSTOMER, 100), SERVICE, 200), 200 << 12 | 100, 22);
    is_in(tag(tag(plain, CUSTOMER, 0xe000 | 100), CUSTOMER, 0xb000 | 200), 200 << 12 | 100, 22);
}

static void identifier_0_is_no_vlan(void)
{
    struct made plain = tcp_frame(1000, 0x02);

    is_in(tag(plain, CUSTOMER, 0), 0, 18);
    is_in(tag(plain, CUSTOMER, 0xe000), 0, 18);
    is_in(tag(tag(plain, CUSTOMER, 100), SERVICE, 0), 100, 22);
    is_in(tag(tag(plain, CUSTOMER, 0), CUSTOMER, 100), 100, 22);
}

static void other_stacks_of_tags_are_none(void)
{
    struct made plain = tcp_frame(1000, 0x02);
    struct made stacks[] = {
        tag(plain, SERVICE, 100),
        tag(tag(plain, SERVICE, 100), SERVICE, 200),
        tag(tag(plain, SERVICE, 100), CUSTOMER, 200),
        tag(tag(tag(plain, CUSTOMER, 1), CUSTOMER, 2), SERVICE, 3),
        tag(tag(tag(plain, CUSTOMER, 0), CUSTOMER, 0), CUSTOMER, 0),
    };

    for (size_t i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
        struct packet packet;
        CHECK(parse(&stacks[i], stacks[i].length, &packet) == PACKET_TAGGED);
    }
}

static void a_tag_that_is_cut_off_is_malformed(void)
{
    struct made one = tag(tcp_frame(1000, 0x02), CUSTOMER, 100);
    struct made two = tag(one, SERVICE, 200);
    struct packet packet;

    for (size_t length = 0; length < one.length; length++)
        CHECK(parse(&one, length, &packet) == PACKET_MALFORMED);
    for (size_t length = 0; length < two.length; length++)
        CHECK(parse(&two, length, &packet) == PACKET_MALFORMED);
}

/* ---- The whole decision ---- */

static const struct stack {
    unsigned outer, inner; /* their control words; an outer of 0 is none */
    uint32_t vlan;
} stacks[] = {{0, 0xe064, 100}, {0x20c8, 0x7064, 200 << 12 | 100}};

static struct made with_tags(struct made made, const struct stack *stack)
{
    made = tag(made, CUSTOMER, stack->inner);
    return stack->outer ? tag(made, SERVICE, stack->outer) : made;
}

/* The verdict of a frame, and what is sent, if anything. The connections there are were begun by
 * frames without tags. */
static enum dr_verdict outcome(uint32_t vlan, const struct made *made, struct made *sent,
                               uint32_t mtu)
{
    struct world world = world_new(64);

    furnish(&world);
    world.director.identity.vlan = vlan;
    world.director.identity.mtu = mtu;
    uint8_t *block = exact(made, made->length);
    struct dr_frame frame = frame_around(block, made);
    enum dr_verdict verdict = forward(&world.director, &frame, start_ns);
    sent->length = 0;
    if (frame.send)
        put(sent, frame.data, frame.length);
    else
        CHECK(memcmp(block, made->bytes, made->length) == 0);
    free(block);
    check_all(&world.director.connections, &world.director.table);
    world_free(&world);
    return verdict;
}

static void a_frame_of_the_vlan_ends_as_it_would_untagged_and_keeps_its_tags(void)
{
    static const uint32_t mtus[] = {1500, 60};

    for (size_t at = 0; at < 2; at++)
        for (size_t mtu = 0; mtu < 2; mtu++)
            for (int kind = 0; kind < KINDS; kind++) {
                struct made plain = frame_of_kind(kind);
                struct made tagged = with_tags(plain, &stacks[at]);
                struct made sent, expected;
                if (memcmp(plain.bytes + 12, "\x81\0", 2) == 0)
                    continue;
                enum dr_verdict verdict = outcome(0, &plain, &expected, mtus[mtu]);
                CHECK(outcome(stacks[at].vlan, &tagged, &sent, mtus[mtu]) == verdict);
                CHECK((sent.length > 0) == (expected.length > 0));
                if (sent.length == 0)
                    continue;
                expected = with_tags(expected, &stacks[at]);
                CHECK(sent.length == expected.length);
                CHECK(memcmp(sent.bytes, expected.bytes, sent.length) == 0);
            }
}

static void a_frame_of_another_vlan_is_nobodys(void)
{
    static const uint32_t vlans[] = {0, 7, 100, 200, 100 << 12 | 200, 200 << 12 | 100};
    struct made plain = tcp_frame(1000, 0x02);
    struct made tagged[] = {with_tags(plain, &stacks[0]), with_tags(plain, &stacks[1])};

    for (size_t i = 0; i < sizeof(vlans) / sizeof(vlans[0]); i++) {
        struct made sent;
        CHECK((outcome(vlans[i], &plain, &sent, 1500) == DR_FORWARDED) == (vlans[i] == 0));
        for (size_t at = 0; at < 2; at++)
            CHECK(outcome(vlans[i], &tagged[at], &sent, 1500) ==
                  (vlans[i] == stacks[at].vlan ? DR_FORWARDED : DR_WRONG_VLAN));
    }
}

/* The longest error there can be fits the buffer it is written into. */
static void an_error_about_a_long_tagged_packet_fits(void)
{
    struct made tagged = with_tags(tcp6_frame(1000, 0x02), &stacks[1]);
    struct world world = world_new(64);
    uint8_t *block = calloc(1, 22 + 1500);
    struct dr_frame frame = {.data = block, .length = 22 + 1500, .captured = 22 + 1500};

    CHECK(block);
    add_service(&world, service6_on(PROTOCOL_TCP, 80, "rr"));
    world.director.identity.vlan = stacks[1].vlan;
    memcpy(block, tagged.bytes, tagged.length);
    block[22 + 4] = (1500 - 40) >> 8;
    block[22 + 5] = (1500 - 40) & 0xff;
    CHECK(forward(&world.director, &frame, start_ns) == DR_NO_SERVER);
    CHECK(frame.send && frame.length == 22 + 1280);
    CHECK(memcmp(frame.data + 12, tagged.bytes + 12, 10) == 0);
    free(block);
    world_free(&world);
}

int main(void)
{
    RUN(the_identifiers_of_one_tag_or_two_are_the_vlan);
    RUN(identifier_0_is_no_vlan);
    RUN(other_stacks_of_tags_are_none);
    RUN(a_tag_that_is_cut_off_is_malformed);
    RUN(a_frame_of_the_vlan_ends_as_it_would_untagged_and_keeps_its_tags);
    RUN(a_frame_of_another_vlan_is_nobodys);
    RUN(an_error_about_a_long_tagged_packet_fits);
}
