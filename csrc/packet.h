/* packet.h -- what the forwarder needs to know of a frame, and nothing more. */
#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ETHERNET_HEADER = 14,
    ADDRESS = 16,
    MAC = 6,
};

enum protocol {
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
};

enum tcp_flag {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_ACK = 0x10,
};

/* Who talks to whom. Addresses are IPv6 or IPv4-mapped, ports in host order. */
struct flow {
    uint8_t client[ADDRESS];
    uint8_t address[ADDRESS]; /* where the client wants to: the VIP */
    uint16_t client_port;
    uint16_t port;
    uint8_t protocol;
};

struct packet {
    struct flow flow;
    uint32_t ip_length; /* bytes above Ethernet, padding not counted */
    uint8_t tcp_flags;
};

enum packet_kind {
    PACKET_TRANSPORT, /* TCP or UDP: the whole struct is filled in */
    PACKET_ARP,
    PACKET_TAGGED, /* IEEE 802.1Q or 802.1ad */
    PACKET_NOT_IP,
    PACKET_MALFORMED,
    PACKET_BAD_CHECKSUM,
    PACKET_MARTIAN,
    PACKET_FRAGMENT,
    PACKET_OTHER_PROTOCOL,
};

enum packet_kind packet_parse(const uint8_t *frame, size_t length, struct packet *packet);

void packet_rewrite(uint8_t *frame, const uint8_t to[MAC], const uint8_t from[MAC]);

static inline uint16_t read16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

#endif
