/* announce.c -- answers ARP requests (RFC 826) and neighbour solicitations (RFC 4861) for a VIP
 * with the MAC address it is reached at. */
#include "announce.h"

#include <string.h>

#include "icmp.h"

/* Offsets of ARP for IPv4 over Ethernet. */
enum {
    ARP_HARDWARE = 0,
    ARP_PROTOCOL = 2,
    ARP_LENGTHS = 4,
    ARP_OPERATION = 6,
    ARP_SENDER_MAC = 8,
    ARP_SENDER_IP = 14,
    ARP_TARGET_MAC = 18,
    ARP_TARGET_IP = 24,
    ARP_END = 28,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    HARDWARE_ETHERNET = 1,
    PROTOCOL_IPV4 = 0x0800,
    LENGTHS_6_AND_4 = 0x0604,
};

static bool is_vip(const struct table *table, const uint8_t *ipv4)
{
    uint8_t address[ADDRESS] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(address + 12, ipv4, 4);
    return table_has_vip(table, address);
}

/* RFC 826 has one station speak: what a group or nobody sends would be answered to many. */
static bool is_station(const uint8_t mac[MAC])
{
    static const uint8_t nobody[MAC];

    return !(mac[0] & 1) && memcmp(mac, nobody, MAC) != 0;
}

static void turn_into_answer(uint8_t *frame, uint8_t *arp, const uint8_t mac[MAC])
{
    uint8_t asked[4];

    memcpy(asked, arp + ARP_TARGET_IP, 4);
    packet_rewrite(frame, arp + ARP_SENDER_MAC, mac);
    write16(arp + ARP_OPERATION, ARP_REPLY);
    memmove(arp + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, MAC + 4);
    memcpy(arp + ARP_SENDER_MAC, mac, MAC);
    memcpy(arp + ARP_SENDER_IP, asked, 4);
}

enum dr_verdict announce_arp(const struct table *table, const uint8_t mac[MAC],
                             struct dr_frame *frame, const struct packet *packet)
{
    uint8_t *arp = frame->data + packet->network;

    if (frame->length < (size_t)packet->network + ARP_END)
        return DR_MALFORMED;
    if (read16(arp + ARP_HARDWARE) != HARDWARE_ETHERNET ||
        read16(arp + ARP_PROTOCOL) != PROTOCOL_IPV4 ||
        read16(arp + ARP_LENGTHS) != LENGTHS_6_AND_4 || !is_station(arp + ARP_SENDER_MAC))
        return DR_ARP_OTHER;
    if (is_vip(table, arp + ARP_SENDER_IP))
        return DR_ARP_CONFLICT;
    if (read16(arp + ARP_OPERATION) != ARP_REQUEST || !is_vip(table, arp + ARP_TARGET_IP))
        return DR_ARP_OTHER;

    turn_into_answer(frame->data, arp, mac);
    frame->send = 1;
    return DR_ANSWERED;
}

/* ---- Neighbour discovery ---- */

enum {
    IPV6_SOURCE = 8,
    IPV6_DESTINATION = 24,
    IPV6_HEADER = 40,
    TARGET = 8, /* in the message */
    OPTION = TARGET + ADDRESS,
    MESSAGE = OPTION + 8,
    ADVERTISEMENT = 136,
    SOLICITED = 0x40,
    OVERRIDE = 0x20,
    OPTION_HEADER = 2,
    OPTION_UNIT = 8,
    SOURCE_LINK_LAYER_ADDRESS = 1,
    TARGET_LINK_LAYER_ADDRESS = 2,
    HOP_LIMIT = 255, /* RFC 4861 section 7.1.1: nobody else's passes for one */
};

/* RFC 4861 section 4.6: none is empty or reaches beyond the message; of Ethernet a link-layer
 * address is six bytes long (RFC 2464 section 6). */
static bool has_sound_options(const uint8_t *options, size_t left, bool *tells_source)
{
    *tells_source = false;
    while (left > 0) {
        size_t length = left < OPTION_HEADER ? 0 : (size_t)options[1] * OPTION_UNIT;
        if (length == 0 || length > left)
            return false;
        if (options[0] == SOURCE_LINK_LAYER_ADDRESS) {
            if (length != OPTION_UNIT)
                return false;
            *tells_source = true;
        }
        options += length;
        left -= length;
    }
    return true;
}

/* RFC 4861 section 7.1.1: who has no address yet asks a solicited-node group, and does not say what
 * its link-layer address is. */
static bool is_valid_from_nobody(const uint8_t *ip, bool tells_source)
{
    static const uint8_t solicited_node[13] = {0xff, 2, [11] = 1, 0xff};

    return !tells_source && memcmp(ip + IPV6_DESTINATION, solicited_node, 13) == 0;
}

static bool is_from_nobody(const uint8_t *ip)
{
    static const uint8_t nobody[ADDRESS];

    return memcmp(ip + IPV6_SOURCE, nobody, ADDRESS) == 0;
}

static bool is_solicitation_for_vip(const struct table *table, const uint8_t *frame,
                                    const struct packet *packet)
{
    const uint8_t *ip = frame + packet->network;
    const uint8_t *message = frame + packet->transport;
    size_t length = packet_payload(packet);
    bool tells_source;

    return packet->transport == packet->network + IPV6_HEADER && ip[7] == HOP_LIMIT &&
           length >= OPTION && message[1] == 0 && is_station(frame + MAC) &&
           has_sound_options(message + OPTION, length - OPTION, &tells_source) &&
           (!is_from_nobody(ip) || is_valid_from_nobody(ip, tells_source)) &&
           icmp6_checksum(ip, message, length) == 0 && table_has_vip(table, message + TARGET);
}

static void write_advertisement(uint8_t *ip, const uint8_t *asker, const uint8_t *vip,
                                const uint8_t mac[MAC], bool is_probe)
{
    /* RFC 4861 section 7.2.4: who asks from no address is answered by multicast, unsolicited. */
    static const uint8_t all_nodes[ADDRESS] = {0xff, 2, [15] = 1};
    uint8_t *message = ip + IPV6_HEADER;

    memset(ip, 0, IPV6_HEADER + MESSAGE);
    ip[0] = 0x60;
    write16(ip + 4, MESSAGE);
    ip[6] = PROTOCOL_ICMPV6;
    ip[7] = HOP_LIMIT;
    memcpy(ip + IPV6_SOURCE, vip, ADDRESS);
    memcpy(ip + IPV6_DESTINATION, is_probe ? all_nodes : asker, ADDRESS);
    message[0] = ADVERTISEMENT;
    message[4] = is_probe ? OVERRIDE : SOLICITED | OVERRIDE;
    memcpy(message + TARGET, vip, ADDRESS);
    message[OPTION] = TARGET_LINK_LAYER_ADDRESS;
    message[OPTION + 1] = 1;
    memcpy(message + OPTION + 2, mac, MAC);
    write16(message + 2, icmp6_checksum(ip, message, MESSAGE));
}

size_t announce_nd(uint8_t out[ANNOUNCE_ROOM], const struct table *table, const uint8_t mac[MAC],
                   const uint8_t *frame, const struct packet *packet)
{
    static const uint8_t all_nodes[MAC] = {0x33, 0x33, 0, 0, 0, 1};

    if (!is_solicitation_for_vip(table, frame, packet))
        return 0;
    const uint8_t *asker = frame + packet->network + IPV6_SOURCE;
    bool is_probe = is_from_nobody(frame + packet->network);
    uint8_t *ip = packet_begin(out, frame, packet, is_probe ? all_nodes : frame + MAC, mac);
    write_advertisement(ip, asker, frame + packet->transport + TARGET, mac, is_probe);
    return packet->network + IPV6_HEADER + MESSAGE;
}
