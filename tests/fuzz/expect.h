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
    return verdict == DR_NO_SERVER || verdict == DR_OVERSIZE || verdict == DR_TTL_EXCEEDED;
}

/* Nothing above Ethernet has changed, but the time to live where that is asked for. */
static inline void expect_forwarded(const uint8_t *before, const uint8_t *after, size_t length,
                                    bool decremented)
{
    uint8_t *expected = malloc(length);

    CHECK(expected);
    memcpy(expected, before, length);
    memcpy(expected, after, (size_t)2 * MAC);
    if (decremented && read16(before + 12) == 0x0800) {
        size_t header = (size_t)(before[14] & 0x0f) * 4;
        CHECK(checksum_end(checksum_add(0, after + 14, header)) == 0);
        expected[14 + 8]--;
        memcpy(expected + 14 + 10, after + 14 + 10, 2);
    } else if (decremented) {
        expected[14 + 7]--;
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
        CHECK(!is_answer(verdict) && frame->data == block && frame->length == length);
        return;
    }
    CHECK(is_answer(verdict) || may_have_error(verdict));
    CHECK(frame->data != block && frame->length == frame->captured);
    CHECK(frame->length >= ETHERNET_HEADER + 20 + 8 && frame->length <= ETHERNET_HEADER + 1280);
}

#endif
