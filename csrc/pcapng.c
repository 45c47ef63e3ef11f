/* pcapng.c -- three kinds of blocks. */
#include "pcapng.h"

#include <string.h>

enum {
    BLOCK_INTERFACE = 1,
    BLOCK_ENHANCED = 6,
    OPTION_END = 0,
    OPTION_COMMENT = 1,
    OPTION_RESOLUTION = 9,
    LINK_ETHERNET = 1,
    NANOSECONDS = 9,
    ENHANCED_LEAST = 32, /* without data and options */
    OPTION_HEAD = 4,
};

static size_t padded(size_t length)
{
    return (length + 3) / 4 * 4;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static uint8_t *put16(uint8_t *at, uint16_t value)
{
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static uint8_t *put_padded(uint8_t *at, const void *bytes, size_t length)
{
    memset(at + length, 0, padded(length) - length);
    memcpy(at, bytes, length);
    return at + padded(length);
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *bytes, uint16_t length)
{
    at = put16(at, code);
    at = put16(at, length);
    return put_padded(at, bytes, length);
}

static uint8_t *put_end(uint8_t *at)
{
    return put16(put16(at, OPTION_END), 0);
}

size_t pcapng_begin(uint8_t *out, size_t room)
{
    static const uint8_t resolution = NANOSECONDS;
    const uint32_t section_length = 28, interface_length = 32;
    uint8_t *at = out;

    if (room < section_length + interface_length)
        return 0;
    at = put32(at, 0x0a0d0d0a);
    at = put32(at, section_length);
    at = put32(at, 0x1a2b3c4d);
    at = put16(at, 1); /* version 1.0 */
    at = put16(at, 0);
    at = put32(at, UINT32_MAX); /* its length is not told */
    at = put32(at, UINT32_MAX);
    at = put32(at, section_length);
    at = put32(at, BLOCK_INTERFACE);
    at = put32(at, interface_length);
    at = put16(at, LINK_ETHERNET);
    at = put16(at, 0);
    at = put32(at, 0); /* no snap length */
    at = put_option(at, OPTION_RESOLUTION, &resolution, 1);
    at = put_end(at);
    at = put32(at, interface_length);
    return (size_t)(at - out);
}

size_t pcapng_frame(uint8_t *out, size_t room, const uint8_t *bytes, uint32_t captured,
                    uint32_t length, uint64_t time_ns, const char *comment, size_t comment_length)
{
    if (comment_length > UINT16_MAX - 3)
        comment_length = UINT16_MAX - 3;
    size_t options = comment_length == 0 ? 0 : 2 * OPTION_HEAD + padded(comment_length);
    size_t total = ENHANCED_LEAST + padded(captured) + options;
    uint8_t *at = out;

    if (room < total)
        return 0;
    at = put32(at, BLOCK_ENHANCED);
    at = put32(at, (uint32_t)total);
    at = put32(at, 0);
    at = put32(at, (uint32_t)(time_ns >> 32));
    at = put32(at, (uint32_t)time_ns);
    at = put32(at, captured);
    at = put32(at, length);
    at = put_padded(at, bytes, captured);
    if (comment_length > 0) {
        at = put_option(at, OPTION_COMMENT, comment, (uint16_t)comment_length);
        at = put_end(at);
    }
    at = put32(at, (uint32_t)total);
    return (size_t)(at - out);
}
