/* packet.c -- bytes to flow, from Ethernet (IEEE 802.3, 802.1Q) on; and how frames begin. */
#include "packet.h"

#include "headers.h"

enum {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_8021Q = 0x8100,
    ETHERTYPE_IPV6 = 0x86dd,
    ETHERTYPE_8021AD = 0x88a8,
    VLAN_IDENTIFIER = 0x0fff,
    VLAN_BITS = 12,
};

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

bool packet_parse_quoted(const uint8_t *quote, size_t length, uint8_t version, struct flow *flow)
{
    return version == 4 ? parse_quoted4(quote, length, flow) : parse_quoted6(quote, length, flow);
}

uint8_t *packet_begin(uint8_t *out, const uint8_t *frame, const struct packet *packet,
                      const uint8_t to[MAC], const uint8_t from[MAC])
{
    size_t addresses = (size_t)2 * MAC;

    packet_rewrite(out, to, from);
    memcpy(out + addresses, frame + addresses, packet->network - addresses);
    return out + packet->network;
}

/* ---- RFC 1071 ---- */

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
