/* announce.c -- answers ARP requests for a VIP (RFC 826) with the MAC address it is reached at. */
#include "announce.h"

#include <string.h>

/* Offsets of ARP for IPv4 over Ethernet, from the beginning of the frame. */
enum {
    ARP_HARDWARE = 14,
    ARP_PROTOCOL = 16,
    ARP_LENGTHS = 18,
    ARP_OPERATION = 20,
    ARP_SENDER_MAC = 22,
    ARP_SENDER_IP = 28,
    ARP_TARGET_MAC = 32,
    ARP_TARGET_IP = 38,
    ARP_END = 42,
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

static void write16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static void turn_into_answer(uint8_t *arp, const uint8_t mac[MAC])
{
    uint8_t asked[4];

    memcpy(asked, arp + ARP_TARGET_IP, 4);
    packet_rewrite(arp, arp + ARP_SENDER_MAC, mac);
    write16(arp + ARP_OPERATION, ARP_REPLY);
    memmove(arp + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, MAC + 4);
    memcpy(arp + ARP_SENDER_MAC, mac, MAC);
    memcpy(arp + ARP_SENDER_IP, asked, 4);
}

enum dr_verdict announce_arp(const struct table *table, const uint8_t mac[MAC],
                             struct dr_frame *frame)
{
    uint8_t *arp = frame->data;

    if (frame->length < ARP_END)
        return DR_MALFORMED;
    if (read16(arp + ARP_HARDWARE) != HARDWARE_ETHERNET ||
        read16(arp + ARP_PROTOCOL) != PROTOCOL_IPV4 || read16(arp + ARP_LENGTHS) != LENGTHS_6_AND_4)
        return DR_ARP_OTHER;
    if (is_vip(table, arp + ARP_SENDER_IP))
        return DR_ARP_CONFLICT;
    if (read16(arp + ARP_OPERATION) != ARP_REQUEST || !is_vip(table, arp + ARP_TARGET_IP))
        return DR_ARP_OTHER;

    turn_into_answer(arp, mac);
    return DR_ANSWERED;
}
