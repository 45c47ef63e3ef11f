/* ipv4.c -- the header of IPv4 (RFC 791). */
#include "headers.h"

enum {
    IPV4_HEADER = 20,
    DO_NOT_FRAGMENT = 0x4000,
    MORE_FRAGMENTS = 0x2000,
    FRAGMENT_UNIT = 8, /* bytes, in which offsets are told */
    FRAGMENT_OFFSET = 0x1fff,
    OPTION_END = 0,
    OPTION_NOTHING = 1,
    OPTION_LOOSE_ROUTE = 0x83,
    OPTION_STRICT_ROUTE = 0x89,
};

static uint64_t add_word(uint64_t sum, const uint8_t *word)
{
    uint32_t value;

    memcpy(&value, word, sizeof(value));
    return sum + value;
}

/* Whether a header's checksum is right does not depend on the byte order one adds in (RFC 1071
 * section 2 (B)), so whole words are added as they lie. */
static bool checksum_holds(const uint8_t *header, size_t length)
{
    uint64_t sum = 0;

    /* Without a loop what nearly all headers have. */
    sum = add_word(sum, header);
    sum = add_word(sum, header + 4);
    sum = add_word(sum, header + 8);
    sum = add_word(sum, header + 12);
    sum = add_word(sum, header + 16);
    for (size_t at = IPV4_HEADER; at < length; at += sizeof(uint32_t))
        sum = add_word(sum, header + at);
    /* What folds to all ones is a multiple of that, and not zero. */
    return sum % 0xffff == 0 && sum != 0;
}

/* In two words, as they are read again at once by whoever hashes or compares them: a processor
 * waits for smaller writes to reach the cache before it can read a word made of them. */
static void map_ipv4(uint8_t out[ADDRESS], const uint8_t *ipv4)
{
    const uint8_t prefix[4] = {0, 0, 0xff, 0xff};
    uint64_t words[2] = {0};
    uint32_t halves[2];

    memcpy(&halves[0], prefix, sizeof(prefix));
    memcpy(&halves[1], ipv4, sizeof(halves[1]));
    memcpy(&words[1], halves, sizeof(halves));
    memcpy(out, words, sizeof(words));
}

/* RFC 1122 section 3.2.1.3: 0/8, 127/8, multicast and broadcast are nobody's source address. */
static bool is_martian4(const uint8_t *source)
{
    static const uint8_t broadcast[4] = {255, 255, 255, 255};

    return source[0] == 0 || source[0] == 127 || source[0] >> 4 == 0xe ||
           memcmp(source, broadcast, sizeof(broadcast)) == 0;
}

/* RFC 791 section 3.1: loose and strict source route, among the options. */
static bool is_source_routed(const uint8_t *options, size_t left)
{
    while (left > 0 && options[0] != OPTION_END) {
        if (options[0] == OPTION_LOOSE_ROUTE || options[0] == OPTION_STRICT_ROUTE)
            return true;
        size_t length = options[0] == OPTION_NOTHING ? 1 : left > 1 ? options[1] : 0;
        if (length == 0 || length > left)
            return false;
        options += length;
        left -= length;
    }
    return false;
}

enum packet_kind parse_ipv4(const uint8_t *ip, size_t left, struct packet *packet)
{
    if (left < IPV4_HEADER || ip[0] >> 4 != 4)
        return PACKET_MALFORMED;

    size_t header = (size_t)(ip[0] & 0x0f) * 4;
    size_t total = read16(ip + 2);
    /* A super-frame of more than 65,535 bytes carries 0 here (BIG TCP): the frame's end counts. */
    if (total == 0 && left > UINT16_MAX)
        total = left;
    if (header < IPV4_HEADER || total < header || left < total)
        return PACKET_MALFORMED;
    if (!checksum_holds(ip, header))
        return PACKET_BAD_CHECKSUM;
    if (is_martian4(ip + 12))
        return PACKET_MARTIAN;
    if (is_source_routed(ip + IPV4_HEADER, header - IPV4_HEADER))
        return PACKET_SOURCE_ROUTED;

    uint16_t fragment = read16(ip + 6);
    packet->version = 4;
    packet->ip_length = (uint32_t)total;
    packet->transport = (uint16_t)(packet->network + header);
    packet->may_not_fragment = fragment & DO_NOT_FRAGMENT;
    packet->flow.protocol = ip[9];
    map_ipv4(packet->flow.client, ip + 12);
    map_ipv4(packet->flow.address, ip + 16);
    if (fragment & (FRAGMENT_OFFSET | MORE_FRAGMENTS)) {
        packet->is_fragment = true;
        packet->is_last_fragment = !(fragment & MORE_FRAGMENTS);
        packet->fragment_at = (uint32_t)(fragment & FRAGMENT_OFFSET) * FRAGMENT_UNIT;
        packet->fragment_id = read16(ip + 4);
        if (packet->fragment_at > 0)
            return parse_later_fragment(header, packet);
    }
    return parse_transport(ip + header, total - header, packet);
}

bool parse_quoted4(const uint8_t *ip, size_t length, struct flow *flow)
{
    if (length < IPV4_HEADER || ip[0] >> 4 != 4)
        return false;
    size_t header = (size_t)(ip[0] & 0x0f) * 4;
    if (header < IPV4_HEADER || length < header)
        return false;
    flow->protocol = ip[9];
    map_ipv4(flow->address, ip + 12);
    map_ipv4(flow->client, ip + 16);
    return parse_quoted_ports(ip + header, length - header, flow);
}
