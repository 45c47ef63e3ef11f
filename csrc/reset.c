/* reset.c -- writing a RST. */
#include "reset.h"

#include <string.h>

enum {
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    TCP_HEADER = 20,
    HOP_LIMIT = 64,
    IPV4_DF = 0x4000,
};

/* The bytes of sequence space that the segment takes (RFC 9293 section 3.4). */
static uint32_t segment_length(const uint8_t *tcp, const struct packet *packet)
{
    uint32_t payload = packet_payload(packet);
    uint32_t header = (uint32_t)(tcp[12] >> 4) * 4;
    uint32_t data = payload > header ? payload - header : 0;

    return data + !!(packet->tcp_flags & TCP_SYN) + !!(packet->tcp_flags & TCP_FIN);
}

/* As if it came from one that knows of no connection: of what the client has acknowledged the RST
 * is the next byte, which is what RFC 5961 section 3 wants of it. */
static void write_tcp(uint8_t *out, const uint8_t *tcp, const struct packet *packet)
{
    memset(out, 0, TCP_HEADER);
    memcpy(out, tcp + 2, 2);
    memcpy(out + 2, tcp, 2);
    out[12] = TCP_HEADER / 4 << 4;
    if (packet->tcp_flags & TCP_ACK) {
        memcpy(out + 4, tcp + 8, 4);
        out[13] = TCP_RST;
    } else {
        write32(out + 8, read32(tcp + 4) + segment_length(tcp, packet));
        out[13] = TCP_RST | TCP_ACK;
    }
}

/* Over the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) and the segment; of 32-bit
 * fields in IPv6's the upper halves are zero, so one form is both. */
static uint16_t tcp_checksum(const uint8_t *addresses, size_t length, const uint8_t *tcp)
{
    const uint8_t rest[4] = {0, PROTOCOL_TCP, 0, TCP_HEADER};
    uint32_t sum = checksum_add(0, addresses, length);

    sum = checksum_add(sum, rest, sizeof(rest));
    return checksum_end(checksum_add(sum, tcp, TCP_HEADER));
}

static size_t write4(uint8_t *ip, const uint8_t *original, const uint8_t *tcp,
                     const struct packet *packet)
{
    uint8_t *out = ip + IPV4_HEADER;

    memset(ip, 0, IPV4_HEADER);
    ip[0] = 0x45;
    write16(ip + 2, IPV4_HEADER + TCP_HEADER);
    write16(ip + 6, IPV4_DF);
    ip[8] = HOP_LIMIT;
    ip[9] = PROTOCOL_TCP;
    memcpy(ip + 12, original + 16, 4);
    memcpy(ip + 16, original + 12, 4);
    write16(ip + 10, checksum_end(checksum_add(0, ip, IPV4_HEADER)));
    write_tcp(out, tcp, packet);
    write16(out + 16, tcp_checksum(ip + 12, 8, out));
    return IPV4_HEADER + TCP_HEADER;
}

static size_t write6(uint8_t *ip, const uint8_t *original, const uint8_t *tcp,
                     const struct packet *packet)
{
    uint8_t *out = ip + IPV6_HEADER;

    memset(ip, 0, IPV6_HEADER);
    ip[0] = 0x60;
    write16(ip + 4, TCP_HEADER);
    ip[6] = PROTOCOL_TCP;
    ip[7] = HOP_LIMIT;
    memcpy(ip + 8, original + 24, ADDRESS);
    memcpy(ip + 24, original + 8, ADDRESS);
    write_tcp(out, tcp, packet);
    write16(out + 16, tcp_checksum(ip + 8, (size_t)2 * ADDRESS, out));
    return IPV6_HEADER + TCP_HEADER;
}

size_t reset_write(uint8_t out[RESET_ROOM], const uint8_t *frame, const struct packet *packet,
                   const uint8_t mac[MAC])
{
    const uint8_t *original = frame + packet->network;
    const uint8_t *tcp = frame + packet->transport;

    if (packet->is_cut_short || packet->tcp_flags & TCP_RST)
        return 0;
    uint8_t *ip = packet_begin(out, frame, packet, frame + MAC, mac);
    size_t length = packet->version == 4 ? write4(ip, original, tcp, packet)
                                         : write6(ip, original, tcp, packet);
    return packet->network + length;
}
