/* icmp.h -- ICMP (RFC 792) and ICMPv6 (RFC 4443): echo to a VIP, errors about a connection, and the
 * errors that the director itself must send. Frame in, frame out. */
#ifndef ICMP_H
#define ICMP_H

#include "packet.h"

enum {
    ICMP_ROOM = LINK_HEADER + 1280, /* RFC 4443 section 2.4 (c); IPv4 has less, 576 */
    ICMP_LIMITED_CLIENTS = 256,
};

enum icmp_kind { ICMP_ECHO, ICMP_ERROR, ICMP_SOLICITATION, ICMP_NOTHING };

enum icmp_error { ICMP_PORT_UNREACHABLE, ICMP_TOO_BIG, ICMP_TIME_EXCEEDED };

enum icmp_kind icmp_kind(const uint8_t *frame, const struct packet *packet);

/* Whether the message's checksum is right. */
bool icmp_is_intact(const uint8_t *frame, const struct packet *packet);

/* The flow of the connection that an error is about. False: none can be read out of it. */
bool icmp_concerns(const uint8_t *frame, const struct packet *packet, struct flow *flow);

/* Turns an echo request into its reply, in place. */
void icmp_answer_echo(uint8_t *frame, const struct packet *packet, const uint8_t mac[MAC]);

/* Writes the error for a packet; returns its length in bytes. `mtu` counts for ICMP_TOO_BIG. */
size_t icmp_write_error(uint8_t out[ICMP_ROOM], const uint8_t *frame, const struct packet *packet,
                        const uint8_t mac[MAC], enum icmp_error error, uint32_t mtu);

/* Over the pseudo-header of RFC 8200 section 8.1 and the message; 0 when it is right. */
uint16_t icmp6_checksum(const uint8_t *ip, const uint8_t *message, size_t length);

/* Two token buckets as in Linux: 1,000 a second with bursts of 50 in all, and for each client one
 * in `ratelimit_ms` with bursts of six. Clients share slots by hash. */
struct icmp_limiter {
    uint64_t seeds[2]; /* of the hash */
    uint64_t refilled_ms;
    uint32_t credit;
    struct {
        uint64_t refilled_ms;
        uint32_t credit_ms;
    } clients[ICMP_LIMITED_CLIENTS];
};

bool icmp_may_send(struct icmp_limiter *limiter, const uint8_t client[ADDRESS],
                   uint32_t ratelimit_ms, uint64_t now_ms);

#endif
