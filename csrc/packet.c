/* packet.c -- bytes to flow, and the rewrite of the Ethernet header. Knows the byte offsets of
 * Ethernet (IEEE 802.3, 802.1Q), IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293), UDP (RFC 768) and
 * SCTP (RFC 9260). */
#include "packet.h"

#include <string.h>

enum {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_8021Q = 0x8100,
    ETHERTYPE_IPV6 = 0x86dd,
    ETHERTYPE_8021AD = 0x88a8,
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    SCTP_HEADER = 12,
    SCTP_CHUNK = 4,
    SCTP_COOKIE_ECHO = 10,
    SCTP_COOKIE_ACK = 11,
    ICMP_HEADER = 8,
    NEIGHBOUR_SOLICITATION = 135,
    PORTS = 4,
    VLAN_IDENTIFIER = 0x0fff,
    VLAN_BITS = 12,
    DO_NOT_FRAGMENT = 0x4000,
    MORE_FRAGMENTS = 0x2000,
    FRAGMENT_UNIT = 8, /* bytes, in which offsets are told */
    FRAGMENT_OFFSET = 0x1fff,
    OPTION_END = 0,
    OPTION_NOTHING = 1,
    OPTION_LOOSE_ROUTE = 0x83,
    OPTION_STRICT_ROUTE = 0x89,
    EXTENSION_HOP_BY_HOP = 0,
    EXTENSION_ROUTING = 43,
    EXTENSION_FRAGMENT = 44,
    EXTENSION_AUTHENTICATION = 51,
    EXTENSION_DESTINATION = 60,
    EXTENSIONS = 8, /* so many in a chain, at most */
};

uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t length)
{
    uint64_t wide = sum;

    for (; length > 1; bytes += 2, length -= 2)
        wide += read16(bytes);
    if (length > 0)
        wide += (uint32_t)bytes[0] << 8;
    while (wide >> 32)
        wide = (wide & 0xffffffff) + (wide >> 32);
    return (uint32_t)wide;
}

uint16_t checksum_end(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

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

/* RFC 4291: multicast and loopback are nobody's either. A mapped IPv4 address is none on a wire
 * (section 2.5.5.2 is about programs), and would be taken for IPv4 here. */
static bool is_martian6(const uint8_t *source, const uint8_t *destination)
{
    static const uint8_t loopback[ADDRESS] = {[15] = 1};

    return source[0] == 0xff || is_same_address(source, loopback) || is_ipv4(source) ||
           is_ipv4(destination);
}

/* :: is the source of one thing only: a solicitation for an address that is being tried out
 * (RFC 4862 section 5.4.2). */
static bool is_from_nobody(const uint8_t *source)
{
    static const uint8_t nobody[ADDRESS];

    return is_same_address(source, nobody);
}

/* ---- Transport ---- */

static void parse_sctp_chunks(const uint8_t *chunk, size_t left, struct packet *packet)
{
    packet->sctp_chunk = chunk[0];
    if (chunk[0] != SCTP_COOKIE_ECHO && chunk[0] != SCTP_COOKIE_ACK)
        return;
    size_t next = ((size_t)read16(chunk + 2) + 3) & ~(size_t)3;
    if (next >= SCTP_CHUNK && left >= next + SCTP_CHUNK)
        packet->sctp_abort_follows = chunk[next] == SCTP_CHUNK_ABORT;
}

/* RFC 1858 section 3: a first fragment may end before the flags. What it would open is opened; a
 * connection that is there already stays as it is (state_after). */
static enum packet_kind parse_cut_short(size_t left, struct packet *packet)
{
    if (!packet->is_fragment || left < PORTS)
        return PACKET_MALFORMED;
    packet->is_cut_short = true;
    packet->tcp_flags = TCP_SYN;
    packet->sctp_chunk = SCTP_CHUNK_INIT;
    return PACKET_TRANSPORT;
}

/* Options and data are the server's business, so only the fixed header must be whole. */
static enum packet_kind parse_tcp(const uint8_t *tcp, size_t left, struct packet *packet)
{
    if (left < TCP_HEADER)
        return parse_cut_short(left, packet);
    packet->tcp_flags = tcp[13];
    return PACKET_TRANSPORT;
}

static enum packet_kind parse_sctp(const uint8_t *sctp, size_t left, struct packet *packet)
{
    if (left < SCTP_HEADER + SCTP_CHUNK)
        return parse_cut_short(left, packet);
    parse_sctp_chunks(sctp + SCTP_HEADER, left - SCTP_HEADER, packet);
    return PACKET_TRANSPORT;
}

static enum packet_kind parse_transport(const uint8_t *transport, size_t left,
                                        struct packet *packet)
{
    enum packet_kind kind = PACKET_TRANSPORT;

    switch (packet->flow.protocol) {
    case PROTOCOL_TCP:
        kind = parse_tcp(transport, left, packet);
        break;
    case PROTOCOL_UDP:
        kind = left < UDP_HEADER ? PACKET_MALFORMED : PACKET_TRANSPORT;
        break;
    case PROTOCOL_SCTP:
        kind = parse_sctp(transport, left, packet);
        break;
    case PROTOCOL_ICMP:
    case PROTOCOL_ICMPV6:
        if ((packet->flow.protocol == PROTOCOL_ICMP) != (packet->version == 4))
            return PACKET_OTHER_PROTOCOL;
        return left < ICMP_HEADER ? PACKET_MALFORMED : PACKET_ICMP;
    default:
        return PACKET_OTHER_PROTOCOL;
    }
    if (kind != PACKET_TRANSPORT)
        return kind;
    packet->flow.client_port = read16(transport);
    packet->flow.port = read16(transport + 2);
    return PACKET_TRANSPORT;
}

/* ---- IPv4 ---- */

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

/* Only the first fragment carries the ports. `header` are the bytes before the payload that count
 * in the whole packet's length, which has 16 bits. */
static enum packet_kind parse_later_fragment(size_t header, struct packet *packet)
{
    uint32_t payload = packet_payload(packet);

    packet->is_later_fragment = true;
    if (payload == 0 || header + packet->fragment_at + payload > UINT16_MAX)
        return PACKET_MALFORMED;
    return PACKET_LATER_FRAGMENT;
}

static enum packet_kind parse_ipv4(const uint8_t *ip, size_t left, struct packet *packet)
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

/* ---- IPv6 ---- */

static bool is_extension(uint8_t next)
{
    return next == EXTENSION_HOP_BY_HOP || next == EXTENSION_ROUTING ||
           next == EXTENSION_FRAGMENT || next == EXTENSION_AUTHENTICATION ||
           next == EXTENSION_DESTINATION;
}

/* Walks the extension headers from `at`; returns where the transport header begins, 0 when the
 * chain is cut off or too long. `*next` becomes the transport protocol; `*offset` the fragment
 * header's offset field. */
static size_t walk_extensions(const uint8_t *ip, size_t at, size_t end, uint8_t *next,
                              struct packet *packet, uint16_t *offset)
{
    for (int count = 0; is_extension(*next); count++) {
        if (count == EXTENSIONS || end - at < 8)
            return 0;
        uint8_t kind = *next;
        *next = ip[at];
        if (kind == EXTENSION_FRAGMENT) {
            *offset = read16(ip + at + 2);
            packet->fragment_id = read32(ip + at + 4);
            packet->fragment_header = 8;
            /* RFC 6946: a fragment that is all of it is none. */
            packet->is_fragment = (*offset & 0xfff9) != 0;
            at += 8;
            if (*offset & 0xfff8)
                return at;
        } else {
            /* RFC 4302 section 2.2: this one counts in other units, and less two of them. */
            size_t length = kind == EXTENSION_AUTHENTICATION ? ((size_t)ip[at + 1] + 2) * 4
                                                             : ((size_t)ip[at + 1] + 1) * 8;
            if (end - at < length)
                return 0;
            at += length;
        }
    }
    return at;
}

static enum packet_kind parse_ipv6(const uint8_t *ip, size_t left, struct packet *packet)
{
    if (left < IPV6_HEADER || ip[0] >> 4 != 6)
        return PACKET_MALFORMED;

    size_t total = IPV6_HEADER + read16(ip + 4);
    /* RFC 2675 and BIG TCP: a payload length of 0 leaves it to the frame's end. */
    if (total == IPV6_HEADER && left > UINT16_MAX)
        total = left;
    if (left < total)
        return PACKET_MALFORMED;
    if (is_martian6(ip + 8, ip + 24))
        return PACKET_MARTIAN;

    uint8_t next = ip[6];
    uint16_t offset = 0;
    packet->version = 6;
    packet->ip_length = (uint32_t)total;
    packet->may_not_fragment = true;
    memcpy(packet->flow.client, ip + 8, ADDRESS);
    memcpy(packet->flow.address, ip + 24, ADDRESS);
    size_t at = walk_extensions(ip, IPV6_HEADER, total, &next, packet, &offset);
    if (at == 0)
        return PACKET_MALFORMED;
    packet->flow.protocol = next;
    packet->transport = (uint16_t)(packet->network + at);
    packet->fragment_at = offset & 0xfff8;
    packet->is_last_fragment = !(offset & 1);
    if (packet->fragment_at > 0)
        return parse_later_fragment(0, packet);
    enum packet_kind kind = parse_transport(ip + at, total - at, packet);
    if (is_from_nobody(ip + 8) && (kind != PACKET_ICMP || ip[at] != NEIGHBOUR_SOLICITATION))
        return PACKET_MARTIAN;
    return kind;
}

/* ---- Ethernet ---- */

/* IEEE 802.1Q clause 9: a service tag may stand before a customer tag, or one customer tag before
 * another. Identifier 0 tells a priority and no VLAN. Returns the ethertype behind the tags; one
 * of a tag when there is something wrong with them. */
static uint16_t walk_tags(const uint8_t *frame, size_t length, struct packet *packet)
{
    uint16_t type = read16(frame + 12);

    for (int tag = 0; tag < VLAN_TAGS; tag++) {
        bool is_service_tag = tag == 0 && type == ETHERTYPE_8021AD;
        if (!is_service_tag && type != ETHERTYPE_8021Q)
            break;
        if (length < (size_t)packet->network + VLAN_TAG)
            break;
        uint16_t vlan = read16(frame + packet->network) & VLAN_IDENTIFIER;
        if (vlan != 0)
            packet->vlan = packet->vlan << VLAN_BITS | vlan;
        type = read16(frame + packet->network + 2);
        packet->network += VLAN_TAG;
        if (is_service_tag && type != ETHERTYPE_8021Q)
            return ETHERTYPE_8021AD;
    }
    return type;
}

enum packet_kind packet_parse(const uint8_t *frame, size_t length, struct packet *packet)
{
    *packet = (struct packet){.network = ETHERNET_HEADER};
    if (length < ETHERNET_HEADER)
        return PACKET_MALFORMED;

    uint16_t type = walk_tags(frame, length, packet);
    const uint8_t *payload = frame + packet->network;
    size_t left = length - packet->network;
    switch (type) {
    case ETHERTYPE_IPV4:
        return parse_ipv4(payload, left, packet);
    case ETHERTYPE_IPV6:
        return parse_ipv6(payload, left, packet);
    case ETHERTYPE_ARP:
        return PACKET_ARP;
    case ETHERTYPE_8021Q:
    case ETHERTYPE_8021AD:
        return left < VLAN_TAG ? PACKET_MALFORMED : PACKET_TAGGED;
    default:
        return PACKET_NOT_IP;
    }
}

/* ---- What an ICMP error quotes ---- */

static bool turn_round(const uint8_t *ports, size_t left, struct flow *flow)
{
    if (flow->protocol != PROTOCOL_TCP && flow->protocol != PROTOCOL_UDP &&
        flow->protocol != PROTOCOL_SCTP)
        return false;
    if (left < PORTS)
        return false;
    flow->port = read16(ports);
    flow->client_port = read16(ports + 2);
    return true;
}

static bool parse_quoted4(const uint8_t *ip, size_t length, struct flow *flow)
{
    if (length < IPV4_HEADER || ip[0] >> 4 != 4)
        return false;
    size_t header = (size_t)(ip[0] & 0x0f) * 4;
    if (header < IPV4_HEADER || length < header)
        return false;
    flow->protocol = ip[9];
    map_ipv4(flow->address, ip + 12);
    map_ipv4(flow->client, ip + 16);
    return turn_round(ip + header, length - header, flow);
}

static bool parse_quoted6(const uint8_t *ip, size_t length, struct flow *flow)
{
    struct packet ignored = {0};
    uint16_t offset = 0;

    if (length < IPV6_HEADER || ip[0] >> 4 != 6)
        return false;
    uint8_t next = ip[6];
    size_t at = walk_extensions(ip, IPV6_HEADER, length, &next, &ignored, &offset);
    if (at == 0 || offset & 0xfff8 || is_martian6(ip + 24, ip + 8))
        return false;
    flow->protocol = next;
    memcpy(flow->address, ip + 8, ADDRESS);
    memcpy(flow->client, ip + 24, ADDRESS);
    return turn_round(ip + at, length - at, flow);
}

bool packet_parse_quoted(const uint8_t *quote, size_t length, uint8_t version, struct flow *flow)
{
    return version == 4 ? parse_quoted4(quote, length, flow) : parse_quoted6(quote, length, flow);
}

uint32_t packet_header(const uint8_t *frame, const struct packet *packet)
{
    switch (packet->flow.protocol) {
    case PROTOCOL_TCP:
        return (uint32_t)(frame[packet->transport + 12] >> 4) * 4;
    case PROTOCOL_UDP:
        return UDP_HEADER;
    case PROTOCOL_SCTP:
        return SCTP_HEADER;
    default:
        return 0;
    }
}

uint8_t *packet_begin(uint8_t *out, const uint8_t *frame, const struct packet *packet,
                      const uint8_t to[MAC], const uint8_t from[MAC])
{
    size_t addresses = (size_t)2 * MAC;

    packet_rewrite(out, to, from);
    memcpy(out + addresses, frame + addresses, packet->network - addresses);
    return out + packet->network;
}
