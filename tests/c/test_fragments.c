/* test_fragments.c -- what is remembered of first fragments, and what waits for them. */
#include "fragments.h"

#include "world.h"

enum { LIFETIME_S = 30, HELD = 256, HELD_BYTES = LINK_HEADER + 9216 };

static const uint32_t now_s = 5000000;
static const uint64_t seeds[2] = {0x5eed0123456789ab, 0xfedcba9876540123};

enum { PAYLOAD = 100, TRANSPORT = 34 };

static struct packet packet_of(uint8_t version, uint32_t id)
{
    struct packet packet = {
        .version = version,
        .fragment_id = id,
        .is_fragment = true,
        .network = 14,
        .transport = TRANSPORT,
        .ip_length = TRANSPORT - 14 + PAYLOAD,
        .flow = flow_from(1000, 80),
    };

    return packet;
}

static void learn(struct fragments *fragments, const struct packet *packet, uint32_t slot,
                  uint32_t at_s)
{
    fragments_learn(fragments, packet, (struct fate){.verdict = DR_FORWARDED, .slot = slot}, at_s);
}

/* As if a fragment came without bytes: looks without counting. */
static uint32_t find(struct fragments *fragments, struct packet packet, uint32_t at_s)
{
    packet.ip_length -= PAYLOAD;
    struct fate fate = fragments_follow(fragments, &packet, at_s);
    CHECK((fate.verdict == DR_FRAGMENT_HELD) == (fate.slot == NO_SLOT));
    return fate.slot;
}

static bool hold(struct fragments *fragments, const struct packet *packet, uint8_t mark,
                 uint32_t length, uint32_t at_s)
{
    uint8_t *bytes = malloc(length);
    struct dr_frame frame = {.data = bytes, .length = length, .captured = length};

    CHECK(bytes);
    memset(bytes, mark, length);
    bool held = fragments_hold(fragments, &frame, packet, at_s);
    free(bytes); /* it was copied, or is of no concern */
    return held;
}

static void a_first_fragment_is_remembered_for_thirty_seconds(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet packet = packet_of(4, 1);

    CHECK(find(fragments, packet, now_s) == NO_SLOT);
    learn(fragments, &packet, 7, now_s);
    CHECK(find(fragments, packet, now_s) == 7);
    CHECK(find(fragments, packet, now_s + LIFETIME_S - 1) == 7);
    CHECK(find(fragments, packet, now_s + LIFETIME_S) == NO_SLOT);
    learn(fragments, &packet, 8, now_s + 10);
    CHECK(find(fragments, packet, now_s + LIFETIME_S) == 8);
    fragments_free(fragments);
}

static void every_field_of_the_key_counts(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet known = packet_of(4, 1);
    struct packet others[] = {known, known, known, known};

    others[0].fragment_id++;
    others[1].flow.client[15]++;
    others[2].flow.address[15]++;
    others[3].flow.protocol++;
    learn(fragments, &known, 7, now_s);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK(find(fragments, others[i], now_s) == NO_SLOT);
    known.flow.port++; /* a later fragment has none */
    known.flow.client_port++;
    CHECK(find(fragments, known, now_s) == 7);
    fragments_free(fragments);
}

/* Its later fragments need not tell the transport protocol. */
static void in_ipv6_the_protocol_does_not_count(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet packet = packet_of(6, 0xffffffff);

    learn(fragments, &packet, 7, now_s);
    packet.flow.protocol = 60;
    CHECK(find(fragments, packet, now_s) == 7);
    fragments_free(fragments);
}

static void a_flood_of_first_fragments_leaves_the_newest(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);

    for (uint32_t id = 0; id < 100000; id++) {
        struct packet packet = packet_of(4, id);
        learn(fragments, &packet, id % 1000, now_s + id / 10000);
        CHECK(find(fragments, packet, now_s + id / 10000) == id % 1000);
    }
    fragments_free(fragments);
}

static void what_is_held_comes_back_once_oldest_first(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet packet = packet_of(4, 1);
    struct packet other = packet_of(4, 2);

    for (uint8_t mark = 1; mark <= 3; mark++) {
        CHECK(hold(fragments, &packet, mark, 60u + mark, now_s));
        CHECK(hold(fragments, &other, 99, 60, now_s));
    }
    for (uint8_t mark = 1; mark <= 3; mark++) {
        struct dr_frame *frame = fragments_release(fragments, &packet, now_s);
        CHECK(frame && frame->length == 60u + mark && frame->captured == 60u + mark);
        CHECK(frame->data[0] == mark && frame->data[60] == mark);
    }
    CHECK(fragments_release(fragments, &packet, now_s) == NULL);
    CHECK(fragments_release(fragments, &other, now_s + LIFETIME_S - 1));
    CHECK(fragments_release(fragments, &other, now_s + LIFETIME_S) == NULL);
    fragments_free(fragments);
}

/* An end may write a header of its own before the frame. */
static void before_a_held_frame_there_is_room_and_it_is_zero(void)
{
    static const uint8_t zeros[16];
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet packet = packet_of(4, 1);

    for (int turn = 0; turn < HELD + 1; turn++) {
        CHECK(hold(fragments, &packet, 0xff, HELD_BYTES, now_s));
        struct dr_frame *frame = fragments_release(fragments, &packet, now_s);
        CHECK(frame && memcmp(frame->data - sizeof(zeros), zeros, sizeof(zeros)) == 0);
        memset(frame->data - sizeof(zeros), 0xee, sizeof(zeros));
    }
    fragments_free(fragments);
}

static void a_full_store_takes_no_more_until_what_it_has_is_old(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet packet = packet_of(4, 1);

    for (int i = 0; i < HELD; i++)
        CHECK(hold(fragments, &packet, 1, 60, now_s));
    CHECK(!hold(fragments, &packet, 1, 60, now_s));
    CHECK(!hold(fragments, &packet, 1, 60, now_s + LIFETIME_S - 1));
    CHECK(hold(fragments, &packet, 1, 60, now_s + LIFETIME_S));
    fragments_free(fragments);
}

static void a_frame_longer_than_a_place_is_not_held(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet packet = packet_of(4, 1);

    CHECK(hold(fragments, &packet, 1, HELD_BYTES, now_s));
    CHECK(!hold(fragments, &packet, 1, HELD_BYTES + 1, now_s));
    fragments_free(fragments);
}

/* ---- No more than the packet has ---- */

static void a_packet_is_forgotten_when_all_of_it_has_come(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet first = packet_of(4, 1);
    struct packet second = first;
    struct packet last = first;

    second.is_later_fragment = last.is_later_fragment = last.is_last_fragment = true;
    second.fragment_at = PAYLOAD;
    last.fragment_at = 2 * PAYLOAD;
    learn(fragments, &first, 7, now_s);
    CHECK(fragments_follow(fragments, &last, now_s).slot == 7);
    CHECK(fragments_follow(fragments, &second, now_s).slot == 7);
    CHECK(fragments_follow(fragments, &second, now_s).verdict == DR_FRAGMENT_HELD);
    learn(fragments, &first, 8, now_s);
    CHECK(fragments_follow(fragments, &second, now_s).slot == 8);
    CHECK(fragments_follow(fragments, &last, now_s).slot == 8);
    CHECK(fragments_follow(fragments, &last, now_s).verdict == DR_FRAGMENT_HELD);
    fragments_free(fragments);
}

static void of_a_packet_without_an_end_no_more_follows_than_it_may_have(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet first = packet_of(4, 1);
    uint32_t followed = 0;

    learn(fragments, &first, 7, now_s);
    while (fragments_follow(fragments, &first, now_s).slot == 7)
        followed++;
    CHECK(followed == 65535 / PAYLOAD);
    fragments_free(fragments);
}

static void a_refusal_is_a_fate_too(void)
{
    struct fragments *fragments = fragments_new(HELD, seeds);
    struct packet packet = packet_of(6, 1);
    const struct fate refused = {.verdict = DR_NO_SERVER, .slot = NO_SLOT};

    fragments_learn(fragments, &packet, refused, now_s);
    CHECK(fragments_follow(fragments, &packet, now_s).verdict == DR_NO_SERVER);
    fragments_free(fragments);
}

static void without_room_nothing_waits(void)
{
    struct fragments *fragments = fragments_new(0, seeds);
    struct packet packet = packet_of(4, 1);

    CHECK(!hold(fragments, &packet, 1, 60, now_s));
    CHECK(fragments_release(fragments, &packet, now_s) == NULL);
    learn(fragments, &packet, 7, now_s);
    CHECK(find(fragments, packet, now_s) == 7);
    fragments_free(fragments);
}

int main(void)
{
    RUN(a_first_fragment_is_remembered_for_thirty_seconds);
    RUN(every_field_of_the_key_counts);
    RUN(in_ipv6_the_protocol_does_not_count);
    RUN(a_flood_of_first_fragments_leaves_the_newest);
    RUN(what_is_held_comes_back_once_oldest_first);
    RUN(before_a_held_frame_there_is_room_and_it_is_zero);
    RUN(a_full_store_takes_no_more_until_what_it_has_is_old);
    RUN(a_frame_longer_than_a_place_is_not_held);
    RUN(a_packet_is_forgotten_when_all_of_it_has_come);
    RUN(of_a_packet_without_an_end_no_more_follows_than_it_may_have);
    RUN(a_refusal_is_a_fate_too);
    RUN(without_room_nothing_waits);
}
