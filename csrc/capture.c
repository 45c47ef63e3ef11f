/* capture.c -- pcap and pcapng. Every length in a file is somebody else's claim. */
#include "capture.h"

#include <string.h>

enum {
    PCAP_HEADER = 24,
    PCAP_RECORD = 16,
    BLOCK_HEAD = 8, /* type, total length */
    BLOCK_LEAST = 12,
    SECTION_LEAST = 28,
    SECTION_HEAD = 24,
    INTERFACE_HEAD = 16,
    INTERFACE_MOST = 65536,
    PACKET_HEAD = 28, /* of an enhanced packet block, and of the obsolete packet block */
    SIMPLE_HEAD = 12,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET = 2,
    BLOCK_SIMPLE = 3,
    BLOCK_ENHANCED = 6,
    OPTION_RESOLUTION = 9,
    OPTION_OFFSET = 14,
    LINK_ETHERNET = 1,
    MICROSECONDS = 6,
    NANOSECONDS = 9,
    BINARY = 0x80, /* of if_tsresol: a power of two, not of ten */
};

static const uint32_t section_block = 0x0a0d0d0a;
static const uint32_t byte_order_magic = 0x1a2b3c4d;
static const uint32_t magic_us = 0xa1b2c3d4;
static const uint32_t magic_ns = 0xa1b23c4d;
static const uint64_t second_ns = 1000000000;

static uint32_t word(bool is_big_endian, const uint8_t *at)
{
    if (is_big_endian)
        return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static uint16_t half(bool is_big_endian, const uint8_t *at)
{
    return (uint16_t)(is_big_endian ? at[0] << 8 | at[1] : at[1] << 8 | at[0]);
}

static enum capture_outcome fault(struct capture *capture, enum dr_capture_fault what,
                                  uint64_t value)
{
    capture->fault = what;
    capture->fault_value = value;
    return CAPTURE_FAULT;
}

static enum capture_outcome other(struct capture *capture, struct capture_frame *frame, size_t used,
                                  uint64_t rest)
{
    frame->used = used;
    capture->offset += used;
    capture->skip = rest;
    return CAPTURE_OTHER;
}

/* Time stamps count from 1970; what does not fit into 64 bits of nanoseconds wraps. */
static uint64_t ns_of(const struct capture_interface *interface, uint64_t stamp)
{
    uint32_t exponent = interface->resolution & ~BINARY & 0xff;
    unsigned __int128 ns = stamp;

    if (interface->resolution & BINARY) {
        ns = ns * second_ns >> (exponent < 127 ? exponent : 127);
    } else {
        for (; exponent < NANOSECONDS; exponent++)
            ns *= 10;
        for (; exponent > NANOSECONDS && ns > 0; exponent--)
            ns /= 10;
    }
    return (uint64_t)ns + interface->offset_ns;
}

static void count_foreign(struct capture *capture, uint32_t link)
{
    size_t at = 0;

    while (at < DR_FOREIGN - 1 && capture->foreign[at].frames > 0 &&
           capture->foreign[at].link != link)
        at++;
    if (capture->foreign[at].frames++ == 0)
        capture->foreign[at].link = link;
}

static enum capture_outcome whole(struct capture *capture, struct capture_frame *frame,
                                  uint32_t interface)
{
    uint32_t link = capture->interfaces[interface].link;

    if (link != LINK_ETHERNET) {
        count_foreign(capture, link);
        return other(capture, frame, frame->used, frame->rest);
    }
    /* Some writers claim less on the wire than they caught. */
    if (frame->length < frame->captured)
        frame->length = frame->captured;
    return CAPTURE_FRAME;
}

/* ---- pcap ---- */

static enum capture_outcome pcap_header(struct capture *capture, const uint8_t *bytes, size_t left,
                                        struct capture_frame *frame)
{
    if (left < PCAP_HEADER)
        return CAPTURE_MORE;
    bool is_big = capture->is_big_endian;
    uint16_t version = half(is_big, bytes + 4);
    if (version != 2)
        return fault(capture, DR_CAPTURE_VERSION, version);
    capture->is_known = true;
    capture->interface_count = 1;
    capture->interfaces[0] = (struct capture_interface){
        /* The upper bits tell of frame check sequences, which end up as padding. */
        .link = word(is_big, bytes + 20) & 0xffff,
        .resolution = word(is_big, bytes) == magic_ns ? NANOSECONDS : MICROSECONDS,
    };
    if (capture->interfaces[0].link != LINK_ETHERNET)
        return fault(capture, DR_CAPTURE_LINK, capture->interfaces[0].link);
    return other(capture, frame, PCAP_HEADER, 0);
}

static enum capture_outcome pcap_record(struct capture *capture, uint8_t *bytes, size_t left,
                                        struct capture_frame *frame)
{
    if (left < PCAP_RECORD)
        return CAPTURE_MORE;
    bool is_big = capture->is_big_endian;
    uint64_t seconds = word(is_big, bytes), fraction = word(is_big, bytes + 4);
    bool is_ns = capture->interfaces[0].resolution == NANOSECONDS;
    frame->captured = word(is_big, bytes + 8);
    frame->length = word(is_big, bytes + 12);
    if (frame->captured > CAPTURE_LONGEST)
        return fault(capture, DR_CAPTURE_LENGTH, frame->captured);
    if (left - PCAP_RECORD < frame->captured)
        return CAPTURE_MORE;
    frame->data = bytes + PCAP_RECORD;
    frame->time_ns = seconds * second_ns + fraction * (is_ns ? 1 : 1000);
    frame->used = PCAP_RECORD + (size_t)frame->captured;
    frame->rest = 0;
    return whole(capture, frame, 0);
}

/* ---- pcapng ---- */

static enum capture_outcome section(struct capture *capture, const uint8_t *bytes, size_t left,
                                    struct capture_frame *frame)
{
    if (left < SECTION_HEAD)
        return CAPTURE_MORE;
    bool is_big = word(true, bytes + 8) == byte_order_magic;
    if (!is_big && word(false, bytes + 8) != byte_order_magic)
        return fault(capture, DR_CAPTURE_UNKNOWN, word(true, bytes + 8));
    uint32_t total = word(is_big, bytes + 4);
    uint16_t version = half(is_big, bytes + 12);
    if (total < SECTION_LEAST || total % 4 != 0)
        return fault(capture, DR_CAPTURE_BLOCK, total);
    if (version != 1)
        return fault(capture, DR_CAPTURE_VERSION, version);
    capture->is_known = capture->is_blocks = true;
    capture->is_big_endian = is_big;
    capture->interface_count = 0;
    return other(capture, frame, SECTION_HEAD, total - SECTION_HEAD);
}

static void interface_options(const struct capture *capture, const uint8_t *at, size_t left,
                              struct capture_interface *interface)
{
    bool is_big = capture->is_big_endian;

    while (left >= 4) {
        uint16_t code = half(is_big, at), length = half(is_big, at + 2);
        size_t padded = 4 + ((size_t)length + 3) / 4 * 4;
        if (code == 0 || padded > left)
            return;
        if (code == OPTION_RESOLUTION && length == 1)
            interface->resolution = at[4];
        if (code == OPTION_OFFSET && length == 8) {
            uint64_t first = word(is_big, at + 4), second = word(is_big, at + 8);
            uint64_t seconds = is_big ? first << 32 | second : second << 32 | first;
            interface->offset_ns = seconds * second_ns;
        }
        at += padded;
        left -= padded;
    }
}

static enum capture_outcome description(struct capture *capture, const uint8_t *bytes, size_t left,
                                        uint32_t total, struct capture_frame *frame)
{
    if (total < INTERFACE_HEAD + 4 || total > INTERFACE_MOST)
        return fault(capture, DR_CAPTURE_BLOCK, total);
    if (left < total)
        return CAPTURE_MORE;
    if (capture->interface_count == CAPTURE_INTERFACES)
        return fault(capture, DR_CAPTURE_INTERFACES, CAPTURE_INTERFACES);
    struct capture_interface *added = &capture->interfaces[capture->interface_count++];
    *added = (struct capture_interface){
        .link = half(capture->is_big_endian, bytes + 8),
        .snap = word(capture->is_big_endian, bytes + 12),
        .resolution = MICROSECONDS,
    };
    interface_options(capture, bytes + INTERFACE_HEAD, total - INTERFACE_HEAD - 4, added);
    return other(capture, frame, total, 0);
}

static enum capture_outcome packet(struct capture *capture, uint8_t *bytes, size_t left,
                                   uint32_t total, struct capture_frame *frame)
{
    bool is_big = capture->is_big_endian;

    if (total < PACKET_HEAD + 4)
        return fault(capture, DR_CAPTURE_BLOCK, total);
    if (left < PACKET_HEAD)
        return CAPTURE_MORE;
    /* The obsolete block has 16 bits of interface, and 16 of drops. */
    uint32_t interface =
        word(is_big, bytes) == BLOCK_PACKET ? half(is_big, bytes + 8) : word(is_big, bytes + 8);
    if (interface >= capture->interface_count)
        return fault(capture, DR_CAPTURE_NO_INTERFACE, interface);
    uint64_t stamp = (uint64_t)word(is_big, bytes + 12) << 32 | word(is_big, bytes + 16);
    frame->captured = word(is_big, bytes + 20);
    frame->length = word(is_big, bytes + 24);
    if (frame->captured > CAPTURE_LONGEST || frame->captured > total - PACKET_HEAD - 4)
        return fault(capture, DR_CAPTURE_LENGTH, frame->captured);
    if (left - PACKET_HEAD < frame->captured)
        return CAPTURE_MORE;
    frame->data = bytes + PACKET_HEAD;
    frame->time_ns = ns_of(&capture->interfaces[interface], stamp);
    frame->used = PACKET_HEAD + (size_t)frame->captured;
    frame->rest = total - frame->used;
    return whole(capture, frame, interface);
}

/* Always of the first interface, whose snap length says how much was caught. */
static enum capture_outcome simple(struct capture *capture, uint8_t *bytes, size_t left,
                                   uint32_t total, struct capture_frame *frame)
{
    if (total < SIMPLE_HEAD + 4)
        return fault(capture, DR_CAPTURE_BLOCK, total);
    if (left < SIMPLE_HEAD)
        return CAPTURE_MORE;
    if (capture->interface_count == 0)
        return fault(capture, DR_CAPTURE_NO_INTERFACE, 0);
    uint32_t snap = capture->interfaces[0].snap;
    frame->length = word(capture->is_big_endian, bytes + 8);
    frame->captured = snap != 0 && snap < frame->length ? snap : frame->length;
    if (frame->captured > CAPTURE_LONGEST || frame->captured > total - SIMPLE_HEAD - 4)
        return fault(capture, DR_CAPTURE_LENGTH, frame->captured);
    if (left - SIMPLE_HEAD < frame->captured)
        return CAPTURE_MORE;
    frame->data = bytes + SIMPLE_HEAD;
    frame->time_ns = capture->time_ns;
    frame->used = SIMPLE_HEAD + (size_t)frame->captured;
    frame->rest = total - frame->used;
    return whole(capture, frame, 0);
}

static enum capture_outcome block(struct capture *capture, uint8_t *bytes, size_t left,
                                  struct capture_frame *frame)
{
    if (left < BLOCK_HEAD)
        return CAPTURE_MORE;
    uint32_t type = word(capture->is_big_endian, bytes);
    if (type == section_block) /* the same in either byte order */
        return section(capture, bytes, left, frame);
    uint32_t total = word(capture->is_big_endian, bytes + 4);
    if (total < BLOCK_LEAST || total % 4 != 0)
        return fault(capture, DR_CAPTURE_BLOCK, total);
    switch (type) {
    case BLOCK_INTERFACE:
        return description(capture, bytes, left, total, frame);
    case BLOCK_ENHANCED:
    case BLOCK_PACKET:
        return packet(capture, bytes, left, total, frame);
    case BLOCK_SIMPLE:
        return simple(capture, bytes, left, total, frame);
    default: /* statistics, names, and whatever comes to be */
        return other(capture, frame, BLOCK_HEAD, total - BLOCK_HEAD);
    }
}

/* ---- Either ---- */

static enum capture_outcome beginning(struct capture *capture, const uint8_t *bytes, size_t left,
                                      struct capture_frame *frame)
{
    if (left < 4)
        return CAPTURE_MORE;
    uint32_t magic = word(true, bytes);
    if (magic == section_block)
        return section(capture, bytes, left, frame);
    capture->is_big_endian = magic == magic_us || magic == magic_ns;
    magic = word(capture->is_big_endian, bytes);
    if (magic != magic_us && magic != magic_ns)
        return fault(capture, DR_CAPTURE_UNKNOWN, word(true, bytes));
    return pcap_header(capture, bytes, left, frame);
}

enum capture_outcome capture_next(struct capture *capture, uint8_t *bytes, size_t left,
                                  struct capture_frame *frame)
{
    frame->used = 0;
    if (capture->fault != DR_CAPTURE_FINE)
        return CAPTURE_FAULT;
    if (capture->skip > 0) {
        size_t passed = capture->skip < left ? (size_t)capture->skip : left;
        return passed == 0 ? CAPTURE_MORE : other(capture, frame, passed, capture->skip - passed);
    }
    if (!capture->is_known)
        return beginning(capture, bytes, left, frame);
    return capture->is_blocks ? block(capture, bytes, left, frame)
                              : pcap_record(capture, bytes, left, frame);
}

void capture_take(struct capture *capture, const struct capture_frame *frame)
{
    capture->offset += frame->used;
    capture->skip = frame->rest;
    capture->time_ns = frame->time_ns;
}
