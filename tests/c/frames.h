/* frames.h -- one frame of every kind that meets a director, built byte by byte. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dr.h"

enum { LONGEST_FRAME = 512 };

/* A frame in the making; tests copy what they need into a block exactly as long. */
struct made {
    uint8_t bytes[LONGEST_FRAME];
    size_t length;
};

static const uint8_t director_mac[6] = {0x02, 0x00, 0x5e, 0x00, 0x00, 0x64};
static const uint8_t client_mac[6] = {0x02, 0x00, 0x00, 0x00, 0x00, 0x01};
static const uint8_t server_mac[6] = {0x02, 0x00, 0x0a, 0x09, 0x00, 0x0b};
static const uint8_t vip[4] = {10, 9, 0, 100};
static const uint8_t client_ip[4] = {10, 1, 0, 1};
static const uint8_t vip6[16] = {0xfd, 0, 0, 9, [14] = 1, [15] = 0};
static const uint8_t client_ip6[16] = {0xfd, 0, 0, 1, [15] = 1};

/* All of what was made, as it lies at `bytes`. */
static inline struct dr_frame frame_around(uint8_t *bytes, const struct made *made)
{
    uint32_t length = (uint32_t)made->length;

    return (struct dr_frame){.data = bytes, .length = length, .captured = length};
}

static inline void put(struct made *made, const void *bytes, size_t length)
{
    memcpy(made->bytes + made->length, bytes, length);
    made->length += length;
}

static inline void put8(struct made *made, unsigned value)
{
    made->bytes[made->length++] = (uint8_t)value;
}

static inline void put16(struct made *made, unsigned value)
{
    put8(made, value >> 8);
    put8(made, value);
}

static inline struct made ethernet(const uint8_t to[6], unsigned ethertype)
{
    struct made made = {.length = 0};

    put(&made, to, 6);
    put(&made, client_mac, 6);
    put16(&made, ethertype);
    return made;
}

/* Even lengths, and an odd one at the end. */
static inline uint32_t sum_of_words(uint32_t sum, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    return sum;
}

static inline void write_checksum(uint8_t *at, uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8);
    at[1] = (uint8_t)~sum;
}

static inline void seal(struct made *made)
{
    uint8_t *ip = made->bytes + 14;

    ip[10] = ip[11] = 0;
    write_checksum(ip + 10, sum_of_words(0, ip, (size_t)(ip[0] & 0x0f) * 4));
}

/* Everything after the IPv4 header is put by the caller, who then calls finish(). */
static inline struct made ipv4(unsigned protocol, unsigned option_words, unsigned fragment)
{
    struct made made = ethernet(director_mac, 0x0800);

    put8(&made, 0x40 | (5 + option_words));
    put8(&made, 0);
    put16(&made, 0); /* total length */
    put16(&made, 1);
    put16(&made, fragment);
    put8(&made, 64);
    put8(&made, protocol);
    put16(&made, 0); /* checksum */
    put(&made, client_ip, 4);
    put(&made, vip, 4);
    for (unsigned i = 0; i < option_words * 4; i++)
        put8(&made, 1);
    return made;
}

static inline struct made finish(struct made made)
{
    size_t total = made.length - 14;

    made.bytes[16] = (uint8_t)(total >> 8);
    made.bytes[17] = (uint8_t)total;
    seal(&made);
    return made;
}

static inline void put_ports(struct made *made, unsigned client_port, unsigned port)
{
    put16(made, client_port);
    put16(made, port);
}

static inline void put_tcp(struct made *made, unsigned client_port, unsigned flags,
                           unsigned option_words)
{
    put_ports(made, client_port, 80);
    put(made, "\0\0\0\1\0\0\0\1", 8);
    put8(made, (5 + option_words) << 4);
    put8(made, flags);
    put(made, "\x20\0\0\0\0\0", 6);
    for (unsigned i = 0; i < option_words * 4; i++)
        put8(made, 1);
}

static inline struct made tcp_frame(unsigned client_port, unsigned flags)
{
    struct made made = ipv4(6, 0, 0x4000);

    put_tcp(&made, client_port, flags, 0);
    return finish(made);
}

static inline struct made tcp_with_options(void)
{
    struct made made = ipv4(6, 2, 0x4000);

    put_tcp(&made, 1001, 0x02, 5);
    put(&made, "payload", 7);
    return finish(made);
}

static inline struct made udp_frame(unsigned client_port)
{
    struct made made = ipv4(17, 0, 0);

    put_ports(&made, client_port, 80);
    put16(&made, 12);
    put16(&made, 0);
    put(&made, "data", 4);
    return finish(made);
}

static inline struct made first_fragment(void)
{
    struct made made = ipv4(17, 0, 0x2000);

    put_ports(&made, 1000, 80);
    put(&made, "\0\x20\0\0", 4);
    return finish(made);
}

static inline struct made later_fragment(void)
{
    struct made made = ipv4(17, 0, 1);

    put(&made, "more of it", 10);
    return finish(made);
}

/* ---- SCTP ---- */

static inline struct made sctp_frame(unsigned client_port, unsigned chunk, unsigned bundled)
{
    struct made made = ipv4(132, 0, 0x4000);

    put_ports(&made, client_port, 80);
    put(&made, "\0\0\0\7\0\0\0\0", 8);
    put8(&made, chunk);
    put(&made, "\0\0\6\1\2\0\0", 7); /* two bytes, padded to four */
    put8(&made, bundled);
    put(&made, "\0\0\4", 3);
    return finish(made);
}

/* ---- ICMP ---- */

static inline struct made icmp_message(unsigned type, const void *rest, size_t length)
{
    struct made made = ipv4(1, 0, 0);
    size_t at = made.length;

    put8(&made, type);
    put(&made, "\0\0\0", 3);
    put(&made, rest, length);
    write_checksum(made.bytes + at + 2, sum_of_words(0, made.bytes + at, made.length - at));
    return finish(made);
}

static inline struct made echo_frame(void)
{
    return icmp_message(8, "\0\1\0\2ping", 8);
}

/* About the VIP's answer to the connection of tcp_frame(client_port). */
static inline struct made icmp_error(unsigned type, unsigned client_port)
{
    struct made quote = tcp_frame(client_port, 0x12);
    uint8_t rest[4 + 28] = {0};
    uint8_t *ip = rest + 4;

    memcpy(ip, quote.bytes + 14, 28);
    memcpy(ip + 12, vip, 4);
    memcpy(ip + 16, client_ip, 4);
    memcpy(ip + 20, quote.bytes + 36, 2);
    memcpy(ip + 22, quote.bytes + 34, 2);
    return icmp_message(type, rest, sizeof(rest));
}

/* ---- IPv6 ---- */

static inline struct made ipv6(unsigned next)
{
    struct made made = ethernet(director_mac, 0x86dd);

    put(&made, "\x60\0\0\0\0\0", 6);
    put8(&made, next);
    put8(&made, 64);
    put(&made, client_ip6, 16);
    put(&made, vip6, 16);
    return made;
}

static inline struct made finish6(struct made made)
{
    size_t payload = made.length - 14 - 40;

    made.bytes[18] = (uint8_t)(payload >> 8);
    made.bytes[19] = (uint8_t)payload;
    return made;
}

static inline struct made tcp6_frame(unsigned client_port, unsigned flags)
{
    struct made made = ipv6(6);

    put_tcp(&made, client_port, flags, 0);
    return finish6(made);
}

static inline struct made udp6_frame(unsigned client_port)
{
    struct made made = ipv6(17);

    put_ports(&made, client_port, 80);
    put(&made, "\0\x08\0\0", 4);
    return finish6(made);
}

/* Behind a header of 16 bytes of this kind. */
static inline struct made extended6_frame(unsigned extension)
{
    struct made made = ipv6(extension);

    put(&made, "\6\1\1\4\0\0\0\0\1\6\0\0\0\0\0\0", 16);
    put_tcp(&made, 1002, 0x02, 0);
    return finish6(made);
}

/* Behind one of each kind, in the order of RFC 8200 section 4.1. */
static inline struct made all_extensions6_frame(void)
{
    struct made made = ipv6(0);

    put(&made, "\x3c\0\1\4\0\0\0\0", 8);
    put(&made, "\x2b\0\1\4\0\0\0\0", 8);
    put(&made, "\x2c\0\4\0\0\0\0\0", 8);
    put(&made, "\x3c\0\0\0\0\0\0\7", 8); /* a fragment that is all of it */
    put(&made, "\6\0\1\4\0\0\0\0", 8);
    put_tcp(&made, 1003, 0x02, 0);
    return finish6(made);
}

static inline struct made first_fragment6(void)
{
    struct made made = ipv6(44);

    put(&made, "\x11\0\0\1\0\0\0\7", 8);
    put_ports(&made, 1000, 80);
    put(&made, "\0\x20\0\0", 4);
    return finish6(made);
}

static inline struct made later_fragment6(void)
{
    struct made made = ipv6(44);

    put(&made, "\x11\0\0\x08\0\0\0\7", 8);
    put(&made, "more of it", 10);
    return finish6(made);
}

static inline void seal_icmp6(struct made *made)
{
    uint8_t *ip = made->bytes + 14;
    size_t length = made->length - 14 - 40;
    uint32_t sum = sum_of_words((uint32_t)length + 58, ip + 8, 32);

    ip[42] = ip[43] = 0;
    write_checksum(ip + 42, sum_of_words(sum, ip + 40, length));
}

static inline struct made icmp6_message(unsigned type, const void *rest, size_t length)
{
    struct made made = ipv6(58);

    put8(&made, type);
    put(&made, "\0\0\0", 3);
    put(&made, rest, length);
    made = finish6(made);
    seal_icmp6(&made);
    return made;
}

static inline struct made echo6_frame(void)
{
    return icmp6_message(128, "\0\1\0\2pong", 8);
}

static inline struct made icmp6_error(unsigned type, unsigned client_port)
{
    struct made quote = tcp6_frame(client_port, 0x12);
    uint8_t rest[4 + 60] = {0};
    uint8_t *ip = rest + 4;

    memcpy(ip, quote.bytes + 14, 60);
    memcpy(ip + 8, vip6, 16);
    memcpy(ip + 24, client_ip6, 16);
    memcpy(ip + 40, quote.bytes + 56, 2);
    memcpy(ip + 42, quote.bytes + 54, 2);
    return icmp6_message(type, rest, sizeof(rest));
}

/* Who has the VIP? Sent to its solicited-node group. */
static inline struct made solicitation_from(const uint8_t asker[16])
{
    static const uint8_t group_mac[6] = {0x33, 0x33, 0xff, 0, 1, 0};
    static const uint8_t group[16] = {0xff, 2, [11] = 1, 0xff, 0, 1, 0};
    struct made made = icmp6_message(135, "\0\0\0\0", 4);

    memcpy(made.bytes, group_mac, 6);
    made.bytes[14 + 7] = 255;
    memcpy(made.bytes + 14 + 8, asker, 16);
    memcpy(made.bytes + 14 + 24, group, 16);
    put(&made, vip6, 16);
    if (asker[0]) { /* who has no address yet does not say which MAC address has it */
        put(&made, "\1\1", 2);
        put(&made, client_mac, 6);
    }
    made = finish6(made);
    seal_icmp6(&made);
    return made;
}

static inline struct made solicitation_frame(void)
{
    return solicitation_from(client_ip6);
}

/* ---- Others ---- */

/* The frame with one more tag, before those it has. */
static inline struct made tag(struct made inner, unsigned type, unsigned control)
{
    struct made made = {.length = 0};

    put(&made, inner.bytes, 12);
    put16(&made, type);
    put16(&made, control);
    put(&made, inner.bytes + 12, inner.length - 12);
    return made;
}

static inline struct made vlan_frame(void)
{
    return tag(tcp_frame(1000, 0x02), 0x8100, 7);
}

static inline struct made arp_frame(unsigned operation, const uint8_t sender[4],
                                    const uint8_t target[4])
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct made made = ethernet(broadcast, 0x0806);

    put16(&made, 1);
    put16(&made, 0x0800);
    put16(&made, 0x0604);
    put16(&made, operation);
    put(&made, client_mac, 6);
    put(&made, sender, 4);
    put(&made, "\0\0\0\0\0\0", 6);
    put(&made, target, 4);
    return made;
}

/* One of each, for tests that go over all of them. */
enum { KINDS = 28 };

static inline struct made frame_of_kind(int kind)
{
    switch (kind) {
    case 0:
        return tcp_frame(1000, 0x02);
    case 1:
        return tcp_with_options();
    case 2:
        return udp_frame(1000);
    case 3:
        return first_fragment();
    case 4:
        return later_fragment();
    case 5:
        return echo_frame();
    case 6:
        return icmp_error(3, 7777);
    case 7:
        return vlan_frame();
    case 8:
        return arp_frame(1, client_ip, vip);
    case 9:
        return arp_frame(2, vip, client_ip);
    case 10:
        return sctp_frame(1000, 1, 0);
    case 11:
        return sctp_frame(1001, 10, 6);
    case 12:
        return tcp6_frame(1000, 0x02);
    case 13:
        return udp6_frame(1001);
    case 14:
        return extended6_frame(0);
    case 15:
        return extended6_frame(43);
    case 16:
        return extended6_frame(60);
    case 17:
        return all_extensions6_frame();
    case 18:
        return first_fragment6();
    case 19:
        return later_fragment6();
    case 20:
        return echo6_frame();
    case 21:
        return icmp6_error(2, 7777);
    case 22:
        return solicitation_frame();
    case 23:
        return icmp_message(13, "\0\0\0\0", 4);
    case 24:
        return icmp6_message(133, "\0\0\0\0", 4);
    case 25:
        return finish(ipv4(47, 0, 0));
    case 26:
        return finish6(ipv6(59));
    default:
        return ethernet(director_mac, 0x88cc);
    }
}

/* The first `length` bytes in a block of just that size, so that ASan sees any over-read. */
static inline uint8_t *exact(const struct made *made, size_t length)
{
    uint8_t *block = malloc(length);

    if (length > 0 && block)
        memcpy(block, made->bytes, length);
    return block;
}

#endif
