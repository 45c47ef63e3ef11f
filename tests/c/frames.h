/* frames.h -- one frame of every kind that meets a director, built byte by byte. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_FRAME = 256 };

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

static inline uint16_t header_checksum(const uint8_t *header, size_t length)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i += 2)
        sum += (uint32_t)(header[i] << 8 | header[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static inline void seal(struct made *made)
{
    uint8_t *ip = made->bytes + 14;

    ip[10] = ip[11] = 0;
    uint16_t sum = header_checksum(ip, (size_t)(ip[0] & 0x0f) * 4);
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
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

static inline struct made icmp_frame(void)
{
    struct made made = ipv4(1, 0, 0);

    put(&made, "\x08\0\xf7\xfe\0\0\0\1", 8);
    return finish(made);
}

static inline struct made ipv6_frame(void)
{
    struct made made = ethernet(director_mac, 0x86dd);

    put(&made, "\x60\0\0\0\0\x14\x06\x40", 8);
    for (int i = 0; i < 52; i++)
        put8(&made, 0);
    return made;
}

static inline struct made vlan_frame(void)
{
    struct made made = ethernet(director_mac, 0x8100);
    struct made inner = tcp_frame(1000, 0x02);

    put16(&made, 7);
    put(&made, inner.bytes + 12, inner.length - 12);
    return made;
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
enum { KINDS = 11 };

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
        return icmp_frame();
    case 6:
        return ipv6_frame();
    case 7:
        return vlan_frame();
    case 8:
        return arp_frame(1, client_ip, vip);
    case 9:
        return arp_frame(2, vip, client_ip);
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
