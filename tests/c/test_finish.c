/* test_finish.c -- checksums that offloads left unfinished; the sums here are the tests' own. */
#include "finish.h"
#include "sctp_crc.h"

#include "world.h"

enum { PAYLOADS = 80, ADDRESSES4 = 26, ADDRESSES6 = 22 };

/* Where the transport header and its checksum are, and what the pseudo-header sums up to. */
struct place {
    size_t transport;
    size_t field;
    uint32_t pseudo;
};

static struct place place_of(const struct made *made, bool is_six, unsigned protocol)
{
    size_t transport = is_six ? 54 : 34;
    uint32_t sum = (uint32_t)(made->length - transport) + protocol;

    return (struct place){
        .transport = transport,
        .field = transport + (protocol == 6 ? 16 : 6),
        .pseudo = is_six ? sum_of_words(sum, made->bytes + ADDRESSES6, 32)
                         : sum_of_words(sum, made->bytes + ADDRESSES4, 8),
    };
}

static uint16_t folded(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void set_field(struct made *made, const struct place *place, uint16_t value)
{
    made->bytes[place->field] = (uint8_t)(value >> 8);
    made->bytes[place->field + 1] = (uint8_t)value;
}

static struct made whole(const struct made *made, const struct place *place)
{
    struct made right = *made;
    uint8_t *at = right.bytes + place->transport;

    set_field(&right, place, 0);
    uint32_t sum = sum_of_words(place->pseudo, at, right.length - place->transport);
    uint16_t checksum = (uint16_t)~folded(sum);
    set_field(&right, place, checksum == 0 ? 0xffff : checksum);
    return right;
}

/* In a block exactly as long, so that a look beyond it is seen. */
static bool finished(struct made *made)
{
    uint8_t *block = exact(made, made->length);
    bool changed = finish_checksum(block, made->length);

    memcpy(made->bytes, block, made->length);
    free(block);
    return changed;
}

static bool same(const struct made *a, const struct made *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static struct made frame_with(bool is_six, unsigned protocol, size_t payload)
{
    struct made made = is_six ? ipv6(protocol) : ipv4(protocol, 0, 0x4000);

    if (protocol == 6)
        put_tcp(&made, 1000, 0x18, 0);
    if (protocol == 17) {
        put_ports(&made, 1000, 80);
        put16(&made, (unsigned)(8 + payload));
        put16(&made, 0);
    }
    for (size_t i = 0; i < payload; i++)
        put8(&made, (unsigned)(i * 37 + payload * 101));
    return is_six ? finish6(made) : finish(made);
}

static void check_one(bool is_six, unsigned protocol, size_t payload)
{
    struct made made = frame_with(is_six, protocol, payload);
    struct place place = place_of(&made, is_six, protocol);
    struct made right = whole(&made, &place);
    struct made unfinished = made, wrong = right, untouched;

    set_field(&unfinished, &place, folded(place.pseudo));
    CHECK(finished(&unfinished));
    CHECK(same(&unfinished, &right));
    untouched = right;
    CHECK(!finished(&right));
    CHECK(same(&right, &untouched));
    wrong.bytes[place.field + 1] ^= 0x10;
    untouched = wrong;
    CHECK(!finished(&wrong));
    CHECK(same(&wrong, &untouched));
}

static void an_unfinished_checksum_becomes_right_and_others_stay_as_they_are(void)
{
    for (size_t payload = 0; payload < PAYLOADS; payload++)
        for (int six = 0; six < 2; six++) {
            check_one(six, 6, payload);
            check_one(six, 17, payload);
        }
}

static void udp_without_a_checksum_stays_without_one(void)
{
    struct made made = udp_frame(1000), before = made;

    CHECK(!finished(&made));
    CHECK(same(&made, &before));
}

static void bytes_behind_the_packet_do_not_count(void)
{
    struct made made = frame_with(false, 6, 3);
    struct place place = place_of(&made, false, 6);
    struct made right = whole(&made, &place);

    set_field(&made, &place, folded(place.pseudo));
    put(&made, "behind", 6);
    put(&right, "behind", 6);
    CHECK(finished(&made));
    CHECK(same(&made, &right));
}

static void what_is_no_whole_tcp_or_udp_packet_is_left_alone(void)
{
    struct made all[] = {first_fragment(),  later_fragment(),
                         first_fragment6(), later_fragment6(),
                         echo_frame(),      echo6_frame(),
                         icmp_error(3, 7),  sctp_frame(5, 1, 0),
                         vlan_frame(),      arp_frame(1, client_ip, vip)};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct made before = all[i];
        CHECK(!finished(&all[i]));
        CHECK(same(&all[i], &before));
    }
}

/* Whatever the bytes are, nothing is read or written beside them: that is the sanitizer's to say.
 */
static void cut_and_bent_frames_are_only_looked_at_where_they_are(void)
{
    struct made all[] = {frame_with(false, 6, 9), frame_with(true, 17, 9), tcp_with_options(),
                         all_extensions6_frame()};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (size_t length = 0; length < all[i].length; length++) {
            struct made cut = all[i];
            cut.length = length;
            CHECK(!finished(&cut));
        }
        for (size_t bit = 12 * 8; bit < all[i].length * 8; bit++) {
            struct made bent = all[i];
            bent.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            finished(&bent);
            CHECK(bent.length == all[i].length);
        }
    }
}

/* RFC 3720 appendix B.4 has the CRC of 32 zeroes. */
static void an_sctp_packet_gets_its_crc(void)
{
    struct made packet = {.length = 32}, ones = {.length = 32}, other;
    static const uint8_t of_zeroes[] = {0xaa, 0x36, 0x91, 0x8a};
    uint8_t *block;

    memset(packet.bytes + SCTP_CHECKSUM, 0x55, 4); /* what stands there does not count */
    block = exact(&packet, packet.length);
    finish_sctp(block, packet.length);
    CHECK(memcmp(block + SCTP_CHECKSUM, of_zeroes, 4) == 0);
    free(block);

    memset(ones.bytes, 0xff, ones.length);
    other = ones;
    finish_sctp(ones.bytes, ones.length);
    other.bytes[31] ^= 1;
    finish_sctp(other.bytes, other.length);
    CHECK(memcmp(ones.bytes + SCTP_CHECKSUM, other.bytes + SCTP_CHECKSUM, 4) != 0);

    block = exact(&packet, SCTP_HEADER);
    finish_sctp(block, SCTP_HEADER);
    free(block);
}

int main(void)
{
    RUN(an_unfinished_checksum_becomes_right_and_others_stay_as_they_are);
    RUN(udp_without_a_checksum_stays_without_one);
    RUN(bytes_behind_the_packet_do_not_count);
    RUN(what_is_no_whole_tcp_or_udp_packet_is_left_alone);
    RUN(an_sctp_packet_gets_its_crc);
    RUN(cut_and_bent_frames_are_only_looked_at_where_they_are);
    return 0;
}
