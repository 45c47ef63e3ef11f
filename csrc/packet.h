/* packet.h -- what the forwarder needs to know of a frame, and nothing more. */
#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    ETHERNET_HEADER = 14,
    VLAN_TAG = 4,
    VLAN_TAGS = 2,                                        /* at most: QinQ */
    LINK_HEADER = ETHERNET_HEADER + VLAN_TAGS * VLAN_TAG, /* at most */
    ADDRESS = 16,
    MAC = 6,
};

/* IANA protocol numbers; 0 stands for a firewall mark's own, "any". */
enum protocol {
    PROTOCOL_ANY = 0,
    PROTOCOL_ICMP = 1,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_ICMPV6 = 58,
    PROTOCOL_SCTP = 132,
};

enum sctp_chunk {
    SCTP_CHUNK_INIT = 1,
    SCTP_CHUNK_ABORT = 6,
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
    uint32_t hash;           /* of the flow, by the connection table; not of the packet's bytes */
    uint32_t ip_length;      /* bytes above Ethernet, padding not counted */
    uint32_t fragment_id;    /* of a fragment */
    uint32_t fragment_at;    /* where its payload belongs in that of the whole packet, bytes */
    uint32_t vlan;           /* as dr_identity has it */
    uint16_t network;        /* where the IP header begins, from the frame's beginning */
    uint16_t transport;      /* where the transport header begins, likewise */
    uint8_t fragment_header; /* bytes of IPv6's, which only fragments have */
    uint8_t version;         /* 4 or 6 */
    uint8_t tcp_flags;
    uint8_t sctp_chunk;      /* type of the first chunk */
    bool sctp_abort_follows; /* a cookie chunk, and an ABORT bundled behind it */
    bool is_fragment;
    bool is_later_fragment; /* not the first */
    bool is_last_fragment;
    bool is_cut_short;     /* a first fragment with ports, but without flags or a chunk */
    bool may_not_fragment; /* IPv4 with DF, or IPv6 */
};

enum packet_kind {
    PACKET_TRANSPORT,      /* TCP, UDP or SCTP, perhaps a first fragment: all is filled in */
    PACKET_ICMP,           /* or ICMPv6: all but ports */
    PACKET_LATER_FRAGMENT, /* no ports */
    PACKET_ARP,
    PACKET_TAGGED, /* with more tags than VLAN_TAGS, or in another order than IEEE 802.1ad's */
    PACKET_NOT_IP,
    PACKET_MALFORMED,
    PACKET_BAD_CHECKSUM,
    PACKET_MARTIAN,
    PACKET_SOURCE_ROUTED,
    PACKET_OTHER_PROTOCOL,
};

/* `vlan` and `network` are filled in whatever it is; what it has not is 0. */
enum packet_kind packet_parse(const uint8_t *frame, size_t length, struct packet *packet);

/* The flow of the packet that an ICMP error quotes: it went from the VIP to the client, so its
 * addresses and ports are turned round. `quote` begins with its IP header. False: too little of it,
 * or a later fragment of IPv6. Of IPv4 the kernel reads ports out of any fragment, and so do we. */
bool packet_parse_quoted(const uint8_t *quote, size_t length, uint8_t version, struct flow *flow);

/* Bytes from the transport header, or of a later fragment's data, to the packet's end. */
static inline uint32_t packet_payload(const struct packet *packet)
{
    return packet->network + packet->ip_length - packet->transport;
}

/* Bytes of the transport header. */
uint32_t packet_header(const uint8_t *frame, const struct packet *packet);

static inline void packet_rewrite(uint8_t *frame, const uint8_t to[MAC], const uint8_t from[MAC])
{
    memcpy(frame, to, MAC);
    memcpy(frame + MAC, from, MAC);
}

/* Begins another frame, of the same kind and with the same tags; returns where its IP header is. */
uint8_t *packet_begin(uint8_t *out, const uint8_t *frame, const struct packet *packet,
                      const uint8_t to[MAC], const uint8_t from[MAC]);

/* RFC 1071. `sum` carries on from earlier parts of even length, 0 at first. */
uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t length);
uint16_t checksum_end(uint32_t sum);

static inline uint16_t read16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t read32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline void write16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static inline void write32(uint8_t *bytes, uint32_t value)
{
    write16(bytes, (uint16_t)(value >> 16));
    write16(bytes + 2, (uint16_t)value);
}

static inline bool is_same_address(const uint8_t a[ADDRESS], const uint8_t b[ADDRESS])
{
    uint64_t left[2], right[2];

    memcpy(left, a, ADDRESS);
    memcpy(right, b, ADDRESS);
    return left[0] == right[0] && left[1] == right[1];
}

static inline bool is_ipv4(const uint8_t address[ADDRESS])
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    for (size_t i = 0; i < sizeof(prefix); i++)
        if (address[i] != prefix[i])
            return false;
    return true;
}

#endif
