/* ipv6.c -- the header of IPv6 and its extensions (RFC 8200). */
#include "headers.h"

enum {
    IPV6_HEADER = 40,
    NEIGHBOUR_SOLICITATION = 135,
    EXTENSION_HOP_BY_HOP = 0,
    EXTENSION_ROUTING = 43,
    EXTENSION_FRAGMENT = 44,
    EXTENSION_AUTHENTICATION = 51,
    EXTENSION_DESTINATION = 60,
    EXTENSIONS = 8, /* so many in a chain, at most */
};

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

enum packet_kind parse_ipv6(const uint8_t *ip, size_t left, struct packet *packet)
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

bool parse_quoted6(const uint8_t *ip, size_t length, struct flow *flow)
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
    return parse_quoted_ports(ip + at, length - at, flow);
}
