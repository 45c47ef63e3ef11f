/* icmp.c -- reading, answering and writing ICMP. */
#include "icmp.h"

#include <string.h>

#include "mix.h"

enum {
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    MESSAGE_HEADER = 8,
    IPV4_ERROR = 576, /* RFC 1812 section 4.3.2.3: bytes of the whole packet, at most */
    IPV6_ERROR = 1280,
    HOP_LIMIT = 64,
    ECHO_REQUEST = 8,
    ECHO_REPLY = 0,
    UNREACHABLE = 3,
    SOURCE_QUENCH = 4,
    TIME_EXCEEDED = 11,
    ECHO_REQUEST6 = 128,
    ECHO_REPLY6 = 129,
    INFORMATIONAL6 = 128, /* RFC 4443 section 2.1: what is below is an error */
    NEIGHBOUR_SOLICITATION = 135,
    PRECEDENCE = 0xc0, /* RFC 1812 section 4.3.2.5: internetwork control */
};

enum icmp_kind icmp_kind(const uint8_t *frame, const struct packet *packet)
{
    uint8_t type = frame[packet->transport];

    if (packet->version == 4) {
        if (type == ECHO_REQUEST)
            return ICMP_ECHO;
        bool is_error = type == UNREACHABLE || type == SOURCE_QUENCH || type == TIME_EXCEEDED;
        return is_error ? ICMP_ERROR : ICMP_NOTHING;
    }
    if (type == ECHO_REQUEST6)
        return ICMP_ECHO;
    if (type == NEIGHBOUR_SOLICITATION)
        return ICMP_SOLICITATION;
    return type < INFORMATIONAL6 ? ICMP_ERROR : ICMP_NOTHING;
}

uint16_t icmp6_checksum(const uint8_t *ip, const uint8_t *message, size_t length)
{
    const uint8_t rest[8] = {
        0, 0, (uint8_t)(length >> 8), (uint8_t)length, 0, 0, 0, PROTOCOL_ICMPV6,
    };
    uint32_t sum = checksum_add(0, ip + 8, (size_t)2 * ADDRESS);

    sum = checksum_add(sum, rest, sizeof(rest));
    return checksum_end(checksum_add(sum, message, length));
}

static uint16_t message_checksum(const uint8_t *frame, const struct packet *packet)
{
    const uint8_t *message = frame + packet->transport;
    size_t length = packet_payload(packet);

    if (packet->version == 6)
        return icmp6_checksum(frame + packet->network, message, length);
    return checksum_end(checksum_add(0, message, length));
}

bool icmp_is_intact(const uint8_t *frame, const struct packet *packet)
{
    return message_checksum(frame, packet) == 0;
}

bool icmp_concerns(const uint8_t *frame, const struct packet *packet, struct flow *flow)
{
    const uint8_t *quote = frame + packet->transport + MESSAGE_HEADER;

    /* As in the kernel, an ICMPv6 error's checksum is left to the server. */
    if (packet->version == 4 && !icmp_is_intact(frame, packet))
        return false;
    return packet_parse_quoted(quote, packet_payload(packet) - MESSAGE_HEADER, packet->version,
                               flow);
}

/* ---- Echo ---- */

static void swap(uint8_t *a, uint8_t *b, size_t length)
{
    uint8_t kept[ADDRESS];

    memcpy(kept, a, length);
    memcpy(a, b, length);
    memcpy(b, kept, length);
}

void icmp_answer_echo(uint8_t *frame, const struct packet *packet, const uint8_t mac[MAC])
{
    uint8_t *ip = frame + packet->network;
    uint8_t *message = frame + packet->transport;
    uint8_t client_mac[MAC];

    memcpy(client_mac, frame + MAC, MAC);
    packet_rewrite(frame, client_mac, mac);
    if (packet->version == 4) {
        swap(ip + 12, ip + 16, 4);
        ip[8] = HOP_LIMIT;
        write16(ip + 10, 0);
        write16(ip + 10, checksum_end(checksum_add(0, ip, packet->transport - packet->network)));
    } else {
        swap(ip + 8, ip + 24, ADDRESS);
        ip[7] = HOP_LIMIT;
    }
    message[0] = packet->version == 4 ? ECHO_REPLY : ECHO_REPLY6;
    write16(message + 2, 0);
    write16(message + 2, message_checksum(frame, packet));
}

/* ---- Errors of our own ---- */

struct error_type {
    uint8_t type;
    uint8_t code;
};

static const struct error_type errors4[] = {
    [ICMP_PORT_UNREACHABLE] = {3, 3},
    [ICMP_TOO_BIG] = {3, 4},
    [ICMP_TIME_EXCEEDED] = {11, 0},
};

static const struct error_type errors6[] = {
    [ICMP_PORT_UNREACHABLE] = {1, 4},
    [ICMP_TOO_BIG] = {2, 0},
    [ICMP_TIME_EXCEEDED] = {3, 0},
};

static size_t quoted(const struct packet *packet, size_t room)
{
    return packet->ip_length < room ? packet->ip_length : room;
}

static size_t write_message(uint8_t *message, const struct error_type *error,
                            const uint8_t *original, size_t length)
{
    memset(message, 0, MESSAGE_HEADER);
    message[0] = error->type;
    message[1] = error->code;
    memcpy(message + MESSAGE_HEADER, original, length);
    return MESSAGE_HEADER + length;
}

static size_t write_error4(uint8_t *ip, const uint8_t *original, const struct packet *packet,
                           enum icmp_error error, uint32_t mtu)
{
    uint8_t *message = ip + IPV4_HEADER;
    size_t quote = quoted(packet, IPV4_ERROR - IPV4_HEADER - MESSAGE_HEADER);
    size_t length = write_message(message, &errors4[error], original, quote);

    if (error == ICMP_TOO_BIG)
        write16(message + 6, (uint16_t)mtu); /* RFC 1191 section 4 */
    write16(message + 2, checksum_end(checksum_add(0, message, length)));
    memset(ip, 0, IPV4_HEADER);
    ip[0] = 0x45;
    ip[1] = (original[1] & 0x1e) | PRECEDENCE;
    write16(ip + 2, (uint16_t)(IPV4_HEADER + length));
    ip[8] = HOP_LIMIT;
    ip[9] = PROTOCOL_ICMP;
    memcpy(ip + 12, original + 16, 4);
    memcpy(ip + 16, original + 12, 4);
    write16(ip + 10, checksum_end(checksum_add(0, ip, IPV4_HEADER)));
    return IPV4_HEADER + length;
}

static size_t write_error6(uint8_t *ip, const uint8_t *original, const struct packet *packet,
                           enum icmp_error error, uint32_t mtu)
{
    uint8_t *message = ip + IPV6_HEADER;
    size_t quote = quoted(packet, IPV6_ERROR - IPV6_HEADER - MESSAGE_HEADER);
    size_t length = write_message(message, &errors6[error], original, quote);

    if (error == ICMP_TOO_BIG) {
        write16(message + 4, (uint16_t)(mtu >> 16));
        write16(message + 6, (uint16_t)mtu);
    }
    memset(ip, 0, IPV6_HEADER);
    ip[0] = 0x60;
    write16(ip + 4, (uint16_t)length);
    ip[6] = PROTOCOL_ICMPV6;
    ip[7] = HOP_LIMIT;
    memcpy(ip + 8, original + 24, ADDRESS);
    memcpy(ip + 24, original + 8, ADDRESS);
    write16(message + 2, icmp6_checksum(ip, message, length));
    return IPV6_HEADER + length;
}

size_t icmp_write_error(uint8_t out[ICMP_ROOM], const uint8_t *frame, const struct packet *packet,
                        const uint8_t mac[MAC], enum icmp_error error, uint32_t mtu)
{
    const uint8_t *original = frame + packet->network;
    uint8_t *ip = packet_begin(out, frame, packet, frame + MAC, mac);

    if (packet->version == 4)
        return packet->network + write_error4(ip, original, packet, error, mtu);
    return packet->network + write_error6(ip, original, packet, error, mtu);
}

/* ---- How often ---- */

enum { GLOBAL_PER_S = 1000, GLOBAL_BURST = 50, CLIENT_BURST = 6 };

static uint32_t refill(uint32_t credit, uint64_t gained, uint32_t most)
{
    return credit >= most || gained > most - credit ? most : credit + (uint32_t)gained;
}

bool icmp_may_send(struct icmp_limiter *limiter, const uint8_t client[ADDRESS],
                   uint32_t ratelimit_ms, uint64_t now_ms)
{
    if (ratelimit_ms == 0)
        return true;

    uint64_t earned = (now_ms - limiter->refilled_ms) * GLOBAL_PER_S / 1000;
    if (earned > 0) {
        limiter->credit = refill(limiter->credit, earned, GLOBAL_BURST);
        limiter->refilled_ms = now_ms;
    }
    uint64_t hash = mix_address(client, limiter->seeds[0], limiter->seeds[1]);
    uint32_t slot = hash % ICMP_LIMITED_CLIENTS;
    uint32_t *credit_ms = &limiter->clients[slot].credit_ms;
    uint64_t passed_ms = now_ms - limiter->clients[slot].refilled_ms;
    *credit_ms = refill(*credit_ms, passed_ms, CLIENT_BURST * ratelimit_ms);
    limiter->clients[slot].refilled_ms = now_ms;
    if (limiter->credit == 0 || *credit_ms < ratelimit_ms)
        return false;
    limiter->credit--;
    *credit_ms -= ratelimit_ms;
    return true;
}
