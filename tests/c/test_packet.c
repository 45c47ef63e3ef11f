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
    CHECK(kind_of(ethernet(director_mac, 0x88cc)) == PACKET_NOT_IP);
}

static void other_protocols_are_told_apart(void)
{
    struct made crossed = echo_frame();
    struct made crossed6 = echo6_frame();

    CHECK(kind_of(echo_frame()) == PACKET_ICMP);
    CHECK(kind_of(echo6_frame()) == PACKET_ICMP);
    CHECK(kind_of(finish(ipv4(47, 0, 0))) == PACKET_OTHER_PROTOCOL);
    CHECK(kind_of(finish6(ipv6(59))) == PACKET_OTHER_PROTOCOL);
    crossed.bytes[14 + 9] = 58;
    seal(&crossed);
    CHECK(kind_of(crossed) == PACKET_OTHER_PROTOCOL);
    crossed6.bytes[14 + 6] = 1;
    CHECK(kind_of(crossed6) == PACKET_OTHER_PROTOCOL);
}

static void only_the_first_fragment_carries_the_ports(void)
{
    struct made first = first_fragment();
    struct made later = later_fragment();
    struct made first6 = first_fragment6();
    struct made later6 = later_fragment6();
    struct packet packet;

    CHECK(parse(&first, &packet) == PACKET_TRANSPORT);
    CHECK(packet.is_fragment && packet.fragment_id == 1 && packet.flow.client_port == 1000);
    CHECK(parse(&later, &packet) == PACKET_LATER_FRAGMENT);
    CHECK(packet.is_fragment && packet.fragment_id == 1);
    CHECK(packet.flow.protocol == PROTOCOL_UDP && packet.ip_length == 30);
    CHECK(parse(&first6, &packet) == PACKET_TRANSPORT);
    CHECK(packet.is_fragment && packet.fragment_id == 7 && packet.flow.port == 80);
    CHECK(parse(&later6, &packet) == PACKET_LATER_FRAGMENT);
    CHECK(packet.is_fragment && packet.fragment_id == 7);
}

/* They are the server's business. */
static void tcp_options_are_not_looked_at_but_the_header_must_be_whole(void)
{
    for (unsigned words = 0; words < 16; words++) {
        struct made made = tcp_frame(1000, 0x02);
        made.bytes[14 + 20 + 12] = (uint8_t)(words << 4);
        CHECK(kind_of(made) == PACKET_TRANSPORT);
        made.length--;
        made.bytes[17]--;
        seal(&made);
        CHECK(kind_of(made) == PACKET_MALFORMED);
    }
}

static enum packet_kind kind_with_options(const void *options, size_t length)
{
    struct made made = tcp_with_options(); /* there is room for eight bytes of them */

    memset(made.bytes + 34, 0, 8);
    memcpy(made.bytes + 34, options, length);
    seal(&made);
    return kind_of(made);
}

static void a_source_route_is_found_among_the_options(void)
{
    CHECK(kind_with_options("\x83\3\4", 3) == PACKET_SOURCE_ROUTED);
    CHECK(kind_with_options("\1\1\x89\3\4", 5) == PACKET_SOURCE_ROUTED);
    CHECK(kind_with_options("\x94\4\0\0\x83\3\4", 7) == PACKET_SOURCE_ROUTED);
    CHECK(kind_with_options("\1\1\1\1\1\1\1\x83", 8) == PACKET_SOURCE_ROUTED);
    CHECK(kind_with_options("\0\x83\3\4", 4) == PACKET_TRANSPORT);           /* behind the end */
    CHECK(kind_with_options("\x94\7\0\0\x83\3\4\1", 8) == PACKET_TRANSPORT); /* in another */
}

/* Whatever the options say of their length, nothing beyond the header is read. */
static void any_length_of_an_option_is_survived(void)
{
    for (unsigned kind = 0; kind < 256; kind++)
        for (unsigned length = 0; length < 256; length++) {
            const uint8_t option[2] = {(uint8_t)kind, (uint8_t)length};
            enum packet_kind found = kind_with_options(option, 2);
            CHECK(found == PACKET_TRANSPORT || found == PACKET_SOURCE_ROUTED);
        }
}

static void only_ipv4_without_the_bit_may_be_fragmented(void)
{
    struct made frames[] = {tcp_frame(1, 2), udp_frame(1), tcp6_frame(1, 2), sctp_frame(1, 1, 0)};
    static const bool may_not[] = {true, false, true, true};
    struct packet packet;

    for (size_t i = 0; i < sizeof(may_not); i++) {
        CHECK(parse(&frames[i], &packet) == PACKET_TRANSPORT);
        CHECK(packet.may_not_fragment == may_not[i]);
    }
}

static void an_ipv6_segment_gives_its_flow(void)
{
    struct made made = tcp6_frame(0x1234, 0x12);
    struct packet packet;

    CHECK(parse(&made, &packet) == PACKET_TRANSPORT);
    CHECK(packet.version == 6 && packet.transport == 54 && packet.ip_length == 60);
    CHECK(packet.flow.protocol == PROTOCOL_TCP && packet.tcp_flags == 0x12);
    CHECK(packet.flow.client_port == 0x1234 && packet.flow.port == 80);
    CHECK(memcmp(packet.flow.client, client_ip6, ADDRESS) == 0);
    CHECK(memcmp(packet.flow.address, vip6, ADDRESS) == 0);
}

static void ports_are_found_behind_every_extension_header(void)
{
    static const uint8_t kinds[] = {0, 43, 60};
    struct made all = all_extensions6_frame();
    struct packet packet;

    for (size_t i = 0; i < sizeof(kinds); i++) {
        struct made made = extended6_frame(kinds[i]);
        CHECK(parse(&made, &packet) == PACKET_TRANSPORT);
        CHECK(packet.flow.client_port == 1002 && packet.transport == 70);
        CHECK(packet.ip_length == 76 && !packet.is_fragment);
    }
    CHECK(parse(&all, &packet) == PACKET_TRANSPORT);
    CHECK(packet.flow.client_port == 1003 && packet.transport == 94 && !packet.is_fragment);
}

static struct made chain_of(int count)
{
    struct made made = ipv6(60);

    for (int i = 0; i < count; i++) {
        put8(&made, i + 1 < count ? 60 : 6);
        put(&made, "\0\1\4\0\0\0\0", 7);
    }
    put_tcp(&made, 1000, 0x02, 0);
    return finish6(made);
}

static void a_chain_of_extension_headers_may_be_eight_long(void)
{
    CHECK(kind_of(chain_of(8)) == PACKET_TRANSPORT);
    CHECK(kind_of(chain_of(9)) == PACKET_MALFORMED);
}

static void an_extension_header_longer_than_the_packet_is_malformed(void)
{
    static const uint8_t kinds[] = {0, 43, 60};

    for (size_t i = 0; i < sizeof(kinds); i++)
        for (unsigned length = 5; length < 256; length++) {
            struct made made = extended6_frame(kinds[i]);
            made.bytes[14 + 40 + 1] = (uint8_t)length;
            CHECK(kind_of(made) == PACKET_MALFORMED);
        }
}

static void sctp_gives_its_first_chunk_and_an_abort_behind_a_cookie(void)
{
    static const struct {
        unsigned chunk, bundled;
        bool abort_follows;
    } cases[] = {{1, 0, false}, {1, 6, false},  {10, 6, true},
                 {11, 6, true}, {10, 0, false}, {0, 6, false}};
    struct packet packet;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct made made = sctp_frame(1000, cases[i].chunk, cases[i].bundled);
        CHECK(parse(&made, &packet) == PACKET_TRANSPORT);
        CHECK(packet.flow.protocol == PROTOCOL_SCTP && packet.flow.client_port == 1000);
        CHECK(packet.sctp_chunk == cases[i].chunk);
        CHECK(packet.sctp_abort_follows == cases[i].abort_follows);
    }
}

/* The length of a chunk is the sender's word: whatever it says, nothing beyond is read. */
static void any_length_of_an_sctp_chunk_is_survived(void)
{
    for (unsigned length = 0; length < 0x10000; length++) {
        struct made made = sctp_frame(1000, 10, 6);
        struct packet packet;
        made.bytes[14 + 20 + 12 + 2] = (uint8_t)(length >> 8);
        made.bytes[14 + 20 + 12 + 3] = (uint8_t)length;
        CHECK(parse(&made, &packet) == PACKET_TRANSPORT);
        CHECK(packet.sctp_abort_follows == (length >= 5 && length <= 8));
    }
}

static void a_quoted_packet_gives_the_flow_it_answered(void)
{
    struct made made = icmp_error(3, 7777);
    struct made made6 = icmp6_error(1, 7777);
    struct flow flow = {0};

    CHECK(packet_parse_quoted(made.bytes + 42, made.length - 42, 4, &flow));
    CHECK(flow.protocol == PROTOCOL_TCP && flow.client_port == 7777 && flow.port == 80);
    CHECK(memcmp(flow.client + 12, client_ip, 4) == 0 && memcmp(flow.address + 12, vip, 4) == 0);
    CHECK(packet_parse_quoted(made6.bytes + 62, made6.length - 62, 6, &flow));
    CHECK(flow.protocol == PROTOCOL_TCP && flow.client_port == 7777 && flow.port == 80);
    CHECK(memcmp(flow.client, client_ip6, 16) == 0 && memcmp(flow.address, vip6, 16) == 0);
}

/* Four bytes behind the IP header are enough: the ports. */
static void a_quote_without_its_ports_is_none(void)
{
    static const struct {
        size_t at, enough;
        uint8_t version;
    } cases[] = {{42, 24, 4}, {62, 44, 6}};
    struct flow flow;

    for (size_t i = 0; i < 2; i++) {
        struct made made = i == 0 ? icmp_error(3, 7777) : icmp6_error(1, 7777);
        for (size_t length = 0; length < made.length - cases[i].at; length++) {
            uint8_t *block = malloc(length);
            CHECK(block);
            memcpy(block, made.bytes + cases[i].at, length);
            bool found = packet_parse_quoted(block, length, cases[i].version, &flow);
            CHECK(found == (length >= cases[i].enough));
            CHECK(!packet_parse_quoted(block, length, 10 - cases[i].version, &flow));
            free(block);
        }
    }
}

static void a_quoted_packet_of_another_protocol_is_none(void)
{
    struct made other = icmp_error(3, 7777);
    struct flow flow;

    other.bytes[42 + 9] = 1;
    CHECK(!packet_parse_quoted(other.bytes + 42, 28, 4, &flow));
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

static void so_they_are_in_ipv6(void)
{
    static const uint8_t sources[][16] = {{0}, {[15] = 1}, {0xff, 2, [15] = 1}};

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        struct made made = tcp6_frame(1000, 0x02);
        memcpy(made.bytes + 14 + 8, sources[i], 16);
        CHECK(kind_of(made) == PACKET_MARTIAN);
    }
    CHECK(kind_of(solicitation_from(sources[0])) == PACKET_ICMP); /* it tries an address out */
}

static void lengths_that_contradict_each_other_are_malformed(void)
{
    struct made version = tcp_frame(1000, 0x02);
    struct made header = tcp_frame(1000, 0x02);
    struct made total = tcp_frame(1000, 0x02);
    struct made zero = tcp_frame(1000, 0x02);

    version.bytes[14] = 0x65;
    seal(&version);
    CHECK(kind_of(version) == PACKET_MALFORMED);
    header.bytes[14] = 0x44;
    CHECK(kind_of(header) == PACKET_MALFORMED);
    total.bytes[17] = 41;
    seal(&total);
    CHECK(kind_of(total) == PACKET_MALFORMED);
    zero.bytes[17] = 0;
    seal(&zero);
    CHECK(kind_of(zero) == PACKET_MALFORMED);
}

static void so_they_are_in_ipv6_too(void)
{
    struct made version = tcp6_frame(1000, 0x02);
    struct made beyond = tcp6_frame(1000, 0x02);

    version.bytes[14] = 0x45;
    CHECK(kind_of(version) == PACKET_MALFORMED);
    beyond.bytes[14 + 5]++;
    CHECK(kind_of(beyond) == PACKET_MALFORMED);
    for (unsigned payload = 0; payload < 20; payload++) {
        struct made made = tcp6_frame(1000, 0x02);
        made.bytes[14 + 5] = (uint8_t)payload;
        CHECK(kind_of(made) == PACKET_MALFORMED);
    }
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

static void an_ipv6_super_frame_has_a_payload_length_of_zero(void)
{
    const size_t length = 14 + 70000;
    struct made made = tcp6_frame(1000, 0x10);
    uint8_t *block = calloc(1, length);
    struct packet packet;

    CHECK(block);
    made.bytes[18] = made.bytes[19] = 0;
    memcpy(block, made.bytes, made.length);
    CHECK(packet_parse(block, length, &packet) == PACKET_TRANSPORT);
    CHECK(packet.ip_length == 70000);
    free(block);
}

/* RFC 1071 section 2 (B): the sum does not depend on how it is cut. */
static void a_checksum_is_that_of_all_words_however_it_is_cut(void)
{
    uint8_t bytes[67];
    uint8_t expected[2];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 151 + 7);
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        write_checksum(expected, sum_of_words(0, bytes, length));
        for (size_t cut = 0; cut <= length; cut += 2) {
            uint32_t sum = checksum_add(checksum_add(0, bytes, cut), bytes + cut, length - cut);
            CHECK(checksum_end(sum) == read16(expected));
        }
    }
    memset(bytes, 0xff, sizeof(bytes));
    CHECK(checksum_end(checksum_add(0xffffffff, bytes, 64)) == 0);
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
            /* The IP header says how long it should be. */
            CHECK(result == PACKET_MALFORMED || result == PACKET_ARP || result == PACKET_TAGGED ||
                  result == PACKET_NOT_IP);
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
    RUN(other_protocols_are_told_apart);
    RUN(only_the_first_fragment_carries_the_ports);
    RUN(tcp_options_are_not_looked_at_but_the_header_must_be_whole);
    RUN(a_source_route_is_found_among_the_options);
    RUN(any_length_of_an_option_is_survived);
    RUN(only_ipv4_without_the_bit_may_be_fragmented);
    RUN(an_ipv6_segment_gives_its_flow);
    RUN(ports_are_found_behind_every_extension_header);
    RUN(a_chain_of_extension_headers_may_be_eight_long);
    RUN(an_extension_header_longer_than_the_packet_is_malformed);
    RUN(sctp_gives_its_first_chunk_and_an_abort_behind_a_cookie);
    RUN(any_length_of_an_sctp_chunk_is_survived);
    RUN(a_quoted_packet_gives_the_flow_it_answered);
    RUN(a_quote_without_its_ports_is_none);
    RUN(a_quoted_packet_of_another_protocol_is_none);
    RUN(reserved_and_do_not_fragment_bits_make_no_fragment);
    RUN(every_wrong_bit_in_the_header_is_noticed);
    RUN(a_wrong_transport_checksum_passes);
    RUN(sources_that_no_client_can_have_are_martians);
    RUN(so_they_are_in_ipv6);
    RUN(lengths_that_contradict_each_other_are_malformed);
    RUN(so_they_are_in_ipv6_too);
    RUN(a_total_length_that_ends_in_the_transport_header_is_malformed);
    RUN(a_super_frame_of_more_than_65535_bytes_has_a_total_length_of_zero);
    RUN(an_ipv6_super_frame_has_a_payload_length_of_zero);
    RUN(a_checksum_is_that_of_all_words_however_it_is_cut);
    RUN(no_length_of_any_frame_is_read_beyond);
    RUN(a_rewrite_touches_the_two_addresses_only);
}
