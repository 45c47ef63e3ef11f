/* expect.h -- what must hold of a frame after its verdict, whatever its bytes were. */
#ifndef EXPECT_H
#define EXPECT_H

#include "dr.h"
#include "packet.h"
#include "test.h"

static inline bool is_forwarded(enum dr_verdict verdict)
{
    return verdict == DR_FORWARDED || verdict == DR_ICMP_FORWARDED;
}

static inline bool is_answer(enum dr_verdict verdict)
{
    return verdict == DR_ANSWERED || verdict == DR_ECHO_ANSWERED;
}

static inline bool may_have_error(enum dr_verdict verdict)
{
    return verdict == DR_NO_SERVER || verdict == DR_OVERSIZE || verdict == DR_TTL_EXCEEDED ||
           verdict == DR_RESET;
}

/* Where the IP header is, behind as many tags as a frame may have. */
static inline size_t behind_tags(const uint8_t *frame)
{
    size_t at = 12;

    for (int tags = 0; tags < 2 && (read16(frame + at) == 0x8100 || read16(frame + at) == 0x88a8);
         tags++)
        at += 4;
    return at + 2;
}

/* Nothing above Ethernet has changed, but the time to live where that is asked for. */
static inline void expect_forwarded(const uint8_t *before, const uint8_t *after, size_t length,
                                    bool decremented)
{
    uint8_t *expected = malloc(length);

    CHECK(expected);
    memcpy(expected, before, length);
    memcpy(expected, after, (size_t)2 * MAC);
    size_t ip = behind_tags(before);
    if (decremented && read16(before + ip - 2) == 0x0800) {
        size_t header = (size_t)(before[ip] & 0x0f) * 4;
        CHECK(checksum_end(checksum_add(0, after + ip, header)) == 0);
        expected[ip + 8]--;
        memcpy(expected + ip + 10, after + ip + 10, 2);
    } else if (decremented) {
        expected[ip + 7]--;
    }
    CHECK(memcmp(expected, after, length) == 0);
    free(expected);
}

/* `block` is where the frame came in, `before` a copy of what it was. */
static inline void expect(const uint8_t *before, const uint8_t *block, size_t length,
                          const struct dr_frame *frame, enum dr_verdict verdict, bool decremented)
{
    CHECK(verdict < DR_VERDICTS && verdict != DR_SEND_FAILED && verdict != DR_TRUNCATED);
    if (is_forwarded(verdict)) {
        CHECK(frame->send && frame->data == block && frame->length == length);
        expect_forwarded(before, block, length, decremented);
        return;
    }
    if (verdict == DR_ECHO_ANSWERED || (is_answer(verdict) && frame->data == block)) {
        CHECK(frame->send && frame->data == block && frame->length == length);
        return;
    }
    /* The time to live is counted down before the length is looked at, as in the kernel. */
    if (verdict == DR_OVERSIZE)
        expect_forwarded(before, block, length, decremented);
    else
        CHECK(length == 0 || memcmp(block, before, length) == 0);
    if (!frame->send) {
        CHECK(!is_answer(verdict) && verdict != DR_RESET && frame->data == block &&
              frame->length == length);
        return;
    }
    CHECK(is_answer(verdict) || may_have_error(verdict));
    CHECK(frame->data != block && frame->length == frame->captured);
    CHECK(frame->length >= ETHERNET_HEADER + 20 + 8 && frame->length <= LINK_HEADER + 1280);
}

#endif
