/* packet.c -- bytes to flow, and the rewrite of the Ethernet header. Knows every byte offset of
 * Ethernet (IEEE 802.3), IPv4 (RFC 791), TCP (RFC 9293) and UDP (RFC 768). */
#include "packet.h"

#include <string.h>

enum {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_8021Q = 0x8100,
    ETHERTYPE_8021AD = 0x88a8,
    IPV4_HEADER = 20,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    FRAGMENT_OFFSET = 0x1fff,
    MORE_FRAGMENTS = 0x2000,
};

static void map_ipv4(uint8_t out[ADDRESS], const uint8_t *ipv4)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(out, prefix, sizeof(prefix));
    memcpy(out + sizeof(prefix), ipv4, 4);
}

/* RFC 1071: the one's complement sum of a header with a right checksum is all ones. */
static bool checksum_holds(const uint8_t *header, size_t length)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i += 2)
        sum += read16(header + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff;
}

/* RFC 1122 section 3.2.1.3: 0/8, 127/8, multicast and broadcast are nobody's source address. */
static bool is_martian(const uint8_t *source)
{
    static const uint8_t broadcast[4] = {255, 255, 255, 255};

    return source[0] == 0 || source[0] == 127 || source[0] >> 4 == 0xe ||
           memcmp(source, broadcast, sizeof(broadcast)) == 0;
}

static enum packet_kind parse_transport(const uint8_t *transport, size_t left,
                                        struct packet *packet)
{
    if (packet->flow.protocol == PROTOCOL_TCP) {
        if (left < TCP_HEADER)
            return PACKET_MALFORMED;
        size_t header = (size_t)(transport[12] >> 4) * 4;
        if (header < TCP_HEADER || left < header)
            return PACKET_MALFORMED;
        packet->tcp_flags = transport[13];
    } else if (packet->flow.protocol == PROTOCOL_UDP) {
        if (left < UDP_HEADER)
            return PACKET_MALFORMED;
        packet->tcp_flags = 0;
    } else {
        return PACKET_OTHER_PROTOCOL;
    }
    packet->flow.client_port = read16(transport);
    packet->flow.port = read16(transport + 2);
    return PACKET_TRANSPORT;
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
    if (is_martian(ip + 12))
        return PACKET_MARTIAN;
    /* Only the first fragment carries the ports. */
    if (read16(ip + 6) & (FRAGMENT_OFFSET | MORE_FRAGMENTS))
        return PACKET_FRAGMENT;

    packet->ip_length = (uint32_t)total;
    packet->flow.protocol = ip[9];
    map_ipv4(packet->flow.client, ip + 12);
    map_ipv4(packet->flow.address, ip + 16);
    return parse_transport(ip + header, total - header, packet);
}

enum packet_kind packet_parse(const uint8_t *frame, size_t length, struct packet *packet)
{
    if (length < ETHERNET_HEADER)
        return PACKET_MALFORMED;

    uint16_t ethertype = read16(frame + 12);
    if (ethertype == ETHERTYPE_ARP)
        return PACKET_ARP;
    if (ethertype == ETHERTYPE_8021Q || ethertype == ETHERTYPE_8021AD)
        return PACKET_TAGGED;
    if (ethertype != ETHERTYPE_IPV4)
        return PACKET_NOT_IP;
    return parse_ipv4(frame + ETHERNET_HEADER, length - ETHERNET_HEADER, packet);
}

void packet_rewrite(uint8_t *frame, const uint8_t to[MAC], const uint8_t from[MAC])
{
    memcpy(frame, to, MAC);
    memcpy(frame + MAC, from, MAC);
}
