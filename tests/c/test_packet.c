/* test_packet.c -- bytes to flow: every field, every refusal, every length. */
#include "packet.h"

#include "frames.h"
#include "test.h"

static enum packet_kind parse(const struct made *made, struct packet *packet)
{
    uint8_t *block = exact(made, made->length);
    enum packet_kind kind = packet_parse(block, made->length, packet);

    free(block);
    return kind;
}

static enum packet_kind kind_of(struct made made)
{
    struct packet packet;

    return parse(&made, &packet);
}

static void a_tcp_segment_gives_its_flow_flags_and_length(void)
{
    struct made made = tcp_frame(0x1234, 0x12);
    struct packet packet;

    CHECK(parse(&made, &packet) == PACKET_TRANSPORT);
    CHECK(packet.flow.protocol == PROTOCOL_TCP);
    CHECK(packet.flow.client_port == 0x1234);
    CHECK(packet.flow.port == 80);
    CHECK(packet.tcp_flags == 0x12);
    CHECK(packet.ip_length == 40);
    CHECK(memcmp(packet.flow.client, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\0\x01", ADDRESS) == 0);
    CHECK(memcmp(packet.flow.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x09\0\x64", ADDRESS) == 0);
}

static void a_datagram_has_no_tcp_flags(void)
{
    struct made made = udp_frame(53);
    struct packet packet = {.tcp_flags = 0xff};

    CHECK(parse(&made, &packet) == PACKET_TRANSPORT);
    CHECK(packet.flow.protocol == PROTOCOL_UDP);
    CHECK(packet.tcp_flags == 0);
}

static void padding_is_not_counted(void)
{
    struct made made = tcp_frame(1000, 0x02);
    struct packet packet;

    put(&made, "\0\0\0\0\0\0", 6);
    CHECK(parse(&made, &packet) == PACKET_TRANSPORT);
    CHECK(packet.ip_length == 40);
}

static void ports_are_found_behind_ip_options(void)
{
    struct made made = tcp_with_options();
    struct packet packet;

    CHECK(parse(&made, &packet) == PACKET_TRANSPORT);
    CHECK(packet.flow.client_port == 1001);
    CHECK(packet.flow.port == 80);
}

static void other_ethertypes_are_told_apart(void)
{
    CHECK(kind_of(arp_frame(1, client_ip, vip)) == PACKET_ARP);
    CHECK(kind_of(vlan_frame()) == PACKET_TAGGED);
    CHECK(kind_of(ethernet(director_mac, 0x88a8)) == PACKET_TAGGED);
    CHECK(kind_of(ipv6_frame()) == PACKET_NOT_IP);
    CHECK(kind_of(icmp_frame()) == PACKET_OTHER_PROTOCOL);
}

static void any_fragment_is_a_fragment(void)
{
    CHECK(kind_of(first_fragment()) == PACKET_FRAGMENT);
    CHECK(kind_of(later_fragment()) == PACKET_FRAGMENT);
}

static void reserved_and_do_not_fragment_bits_make_no_fragment(void)
{
    struct made made = tcp_frame(1000, 0x02);

    made.bytes[14 + 6] = 0xc0;
    seal(&made);
    CHECK(kind_of(made) == PACKET_TRANSPORT);
}

static void every_wrong_bit_in_the_header_is_noticed(void)
{
    for (int bit = 0; bit < 20 * 8; bit++) {
        struct made made = tcp_frame(1000, 0x02);
        made.bytes[14 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum packet_kind kind = kind_of(made);
        CHECK(kind == PACKET_MALFORMED || kind == PACKET_BAD_CHECKSUM);
    }
}

static void a_wrong_transport_checksum_passes(void)
{
    struct made made = tcp_frame(1000, 0x02);

    made.bytes[14 + 20 + 16] ^= 0xff;
    CHECK(kind_of(made) == PACKET_TRANSPORT);
}

static void sources_that_no_client_can_have_are_martians(void)
{
    static const uint8_t sources[][4] = {
        {0, 0, 0, 0},   {0, 1, 2, 3},   {127, 0, 0, 1},
        {224, 0, 0, 1}, {239, 9, 9, 9}, {255, 255, 255, 255},
    };

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        struct made made = tcp_frame(1000, 0x02);
        memcpy(made.bytes + 14 + 12, sources[i], 4);
        seal(&made);
        CHECK(kind_of(made) == PACKET_MARTIAN);
    }
}

static void lengths_that_contradict_each_other_are_malformed(void)
{
    struct made version = tcp_frame(1000, 0x02);
    struct made header = tcp_frame(1000, 0x02);
    struct made offset = tcp_frame(1000, 0x02);
    struct made beyond = tcp_frame(1000, 0x02);
    struct made total = tcp_frame(1000, 0x02);
    struct made zero = tcp_frame(1000, 0x02);

    version.bytes[14] = 0x65;
    seal(&version);
    CHECK(kind_of(version) == PACKET_MALFORMED);
    header.bytes[14] = 0x44;
    CHECK(kind_of(header) == PACKET_MALFORMED);
    offset.bytes[14 + 20 + 12] = 0x40;
    CHECK(kind_of(offset) == PACKET_MALFORMED);
    beyond.bytes[14 + 20 + 12] = 0x60;
    CHECK(kind_of(beyond) == PACKET_MALFORMED);
    total.bytes[17] = 41;
    seal(&total);
    CHECK(kind_of(total) == PACKET_MALFORMED);
    zero.bytes[17] = 0;
    seal(&zero);
    CHECK(kind_of(zero) == PACKET_MALFORMED);
}

static void a_total_length_that_ends_in_the_transport_header_is_malformed(void)
{
    for (unsigned total = 20; total < 40; total++) {
        struct made made = tcp_frame(1000, 0x02);
        made.bytes[17] = (uint8_t)total;
        seal(&made);
        CHECK(kind_of(made) == PACKET_MALFORMED);
    }
}

/* BIG TCP: the total length field cannot say it, the frame's end does. */
static void a_super_frame_of_more_than_65535_bytes_has_a_total_length_of_zero(void)
{
    const size_t length = 14 + 70000;
    struct made made = tcp_frame(1000, 0x10);
    uint8_t *block = calloc(1, length);
    struct packet packet;

    CHECK(block);
    made.bytes[16] = made.bytes[17] = 0;
    seal(&made);
    memcpy(block, made.bytes, made.length);
    CHECK(packet_parse(block, length, &packet) == PACKET_TRANSPORT);
    CHECK(packet.ip_length == 70000);
    free(block);
}

static void no_length_of_any_frame_is_read_beyond(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct made made = frame_of_kind(kind);
        for (size_t length = 0; length < made.length; length++) {
            struct packet packet;
            uint8_t *block = exact(&made, length);
            enum packet_kind result = packet_parse(block, length, &packet);
            if (length < ETHERNET_HEADER)
                CHECK(result == PACKET_MALFORMED);
            CHECK(result != PACKET_TRANSPORT); /* the IP header says how long it should be */
            free(block);
        }
    }
}

static void a_rewrite_touches_the_two_addresses_only(void)
{
    struct made made = tcp_frame(1000, 0x02);
    struct made before = made;

    packet_rewrite(made.bytes, server_mac, director_mac);
    CHECK(memcmp(made.bytes, server_mac, MAC) == 0);
    CHECK(memcmp(made.bytes + MAC, director_mac, MAC) == 0);
    CHECK(memcmp(made.bytes + 12, before.bytes + 12, sizeof(made.bytes) - 12) == 0);
}

int main(void)
{
    RUN(a_tcp_segment_gives_its_flow_flags_and_length);
    RUN(a_datagram_has_no_tcp_flags);
    RUN(padding_is_not_counted);
    RUN(ports_are_found_behind_ip_options);
    RUN(other_ethertypes_are_told_apart);
    RUN(any_fragment_is_a_fragment);
    RUN(reserved_and_do_not_fragment_bits_make_no_fragment);
    RUN(every_wrong_bit_in_the_header_is_noticed);
    RUN(a_wrong_transport_checksum_passes);
    RUN(sources_that_no_client_can_have_are_martians);
    RUN(lengths_that_contradict_each_other_are_malformed);
    RUN(a_total_length_that_ends_in_the_transport_header_is_malformed);
    RUN(a_super_frame_of_more_than_65535_bytes_has_a_total_length_of_zero);
    RUN(no_length_of_any_frame_is_read_beyond);
    RUN(a_rewrite_touches_the_two_addresses_only);
}
