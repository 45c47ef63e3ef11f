/* frames.h -- the frame of every measurement: TCP over IPv4, one flow of many. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdint.h>
#include <string.h>

#include "packet.h"

enum {
    FRAME = 60,
    FRAME_LONGEST = 1514,
    FRAME_IP = 14,
    FRAME_TCP = 34,
    FRAME_MARK = 54, /* behind the headers: padding of the shortest frame, data of others */
    FRAME_SYN = 0x02,
    FRAME_ACK = 0x10,
};

static inline uint16_t frame_checksum(const uint8_t *ip)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < 20; i += 2)
        sum += read16(ip + i);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~((sum & 0xffff) + (sum >> 16));
}

/* From 10.1.0.0 to 10.10.10.60 port 80. Of the shortest frame six bytes are padding. */
static inline void frame_init_long(uint8_t *frame, uint16_t length, const uint8_t to[6])
{
    static const uint8_t from[6] = {2, 0, 0, 0, 0, 9};
    static const uint8_t ip[20] = {
        0x45, 0, 0, 40, 0xff, 0xff, 0, 0, 64, 6, 0, 0, 10, 1, 0, 0, 10, 10, 10, 60,
    };

    memset(frame, 0, length);
    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    write16(frame + 12, 0x0800);
    memcpy(frame + FRAME_IP, ip, sizeof(ip));
    if (length > FRAME)
        write16(frame + FRAME_IP + 2, (uint16_t)(length - FRAME_IP));
    write16(frame + FRAME_IP + 10, frame_checksum(frame + FRAME_IP));
    write16(frame + FRAME_TCP + 2, 80);
    frame[FRAME_TCP + 12] = 0x50;
}

static inline void frame_init(uint8_t frame[FRAME], const uint8_t to[6])
{
    frame_init_long(frame, FRAME, to);
}

/* 65,536 clients, then their next port. The packet's identification is the complement of what
 * changes in the address, so the header's checksum stays what it is. */
static inline void frame_set_flow(uint8_t *frame, uint32_t flow, uint8_t tcp_flags)
{
    write16(frame + FRAME_IP + 4, (uint16_t)~flow);
    write16(frame + FRAME_IP + 14, (uint16_t)flow);
    write16(frame + FRAME_TCP, (uint16_t)(1024 + (flow >> 16)));
    frame[FRAME_TCP + 13] = tcp_flags;
}

#endif
