/* transport.c -- TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260) and ICMP: ports, flags, chunks. */
#include "headers.h"

enum {
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    SCTP_HEADER = 12,
    SCTP_CHUNK = 4,
    SCTP_COOKIE_ECHO = 10,
    SCTP_COOKIE_ACK = 11,
    ICMP_HEADER = 8,
    PORTS = 4,
};

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

enum packet_kind parse_transport(const uint8_t *transport, size_t left, struct packet *packet)
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

/* A whole packet's length has 16 bits. */
enum packet_kind parse_later_fragment(size_t header, struct packet *packet)
{
    uint32_t payload = packet_payload(packet);

    packet->is_later_fragment = true;
    if (payload == 0 || header + packet->fragment_at + payload > UINT16_MAX)
        return PACKET_MALFORMED;
    return PACKET_LATER_FRAGMENT;
}

bool parse_quoted_ports(const uint8_t *ports, size_t left, struct flow *flow)
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
