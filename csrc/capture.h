/* capture.h -- frames out of the bytes of a capture file: pcap (draft-ietf-opsawg-pcap) and pcapng
 * (draft-ietf-opsawg-pcapng), both byte orders, any resolution. Bytes come in pieces of any size.
 */
#ifndef CAPTURE_H
#define CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dr_trace.h"

enum {
    CAPTURE_INTERFACES = 256,
    CAPTURE_LONGEST = 262144, /* bytes of a frame; what tcpdump and dumpcap write at most */
    CAPTURE_PIECE = 1 << 19,  /* with so many bytes at hand, no answer is CAPTURE_MORE */
};

struct capture_interface {
    uint32_t snap; /* 0: frames are whole */
    uint16_t link;
    uint8_t resolution; /* if_tsresol */
    uint64_t offset_ns;
};

struct capture {
    struct capture_interface interfaces[CAPTURE_INTERFACES];
    uint32_t interface_count;
    bool is_known;  /* what follows is filled in */
    bool is_blocks; /* pcapng */
    bool is_big_endian;
    enum dr_capture_fault fault;
    uint64_t fault_value;
    uint64_t offset;  /* of the next byte, in the file */
    uint64_t skip;    /* bytes from there on that say nothing */
    uint64_t time_ns; /* of the last frame: a simple packet block has none of its own */
    struct dr_foreign foreign[DR_FOREIGN];
};

struct capture_frame {
    uint8_t *data;
    uint32_t captured;
    uint32_t length;  /* on the wire */
    uint64_t time_ns; /* since 1970 */
    size_t used;      /* up to the end of its data */
    uint64_t rest;    /* bytes behind that to skip */
};

enum capture_outcome {
    CAPTURE_FRAME,
    CAPTURE_OTHER, /* headers, or something else without a frame */
    CAPTURE_MORE,  /* bytes are needed */
    CAPTURE_FAULT, /* fault says what is wrong; there is no going on */
};

/* What the bytes begin with. A frame stays the next one until capture_take() is called; of anything
 * else, frame->used bytes have been taken. */
enum capture_outcome capture_next(struct capture *capture, uint8_t *bytes, size_t left,
                                  struct capture_frame *frame);
void capture_take(struct capture *capture, const struct capture_frame *frame);

#endif
