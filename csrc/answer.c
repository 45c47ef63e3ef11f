/* answer.c -- what the director says itself, in a buffer that the caller has for this frame. */
#include "answer.h"

#include "announce.h"
#include "reset.h"

static void replace(struct director *director, struct dr_frame *frame, size_t length)
{
    frame->data = director->answer + ANSWER_HEADROOM;
    frame->length = frame->captured = (uint32_t)length;
    frame->gso_size = 0;
    frame->send = 1;
}

static uint8_t *room(struct director *director)
{
    return director->answer + ANSWER_HEADROOM;
}

/* RFC 1122 section 3.2.2: no error about an ICMP error, nor about a fragment but the first. */
void answer_error(struct director *director, struct dr_frame *frame, const struct packet *packet,
                  enum icmp_error error, uint32_t mtu, uint64_t now_ns)
{
    uint32_t ratelimit_ms = error == ICMP_TOO_BIG ? 0 : director->tuning.icmp_ratelimit;

    if (packet->is_later_fragment ||
        !icmp_may_send(&director->limiter, packet->flow.client, ratelimit_ms, now_ns / 1000000))
        return;
    size_t length =
        icmp_write_error(room(director), frame->data, packet, director->identity.mac, error, mtu);
    replace(director, frame, length);
}

/* The client of a connection that has just been ended; told once, since the next packet has none.
 */
enum dr_verdict answer_reset(struct director *director, struct dr_frame *frame,
                             const struct packet *packet, uint64_t now_ns)
{
    if (packet->flow.protocol != PROTOCOL_TCP) {
        answer_error(director, frame, packet, ICMP_PORT_UNREACHABLE, 0, now_ns);
    } else {
        size_t length = reset_write(room(director), frame->data, packet, director->identity.mac);
        if (length > 0)
            replace(director, frame, length);
    }
    return frame->send ? DR_RESET : DR_DRAINED;
}

enum dr_verdict answer_solicitation(struct director *director, struct dr_frame *frame,
                                    const struct packet *packet)
{
    size_t length =
        announce_nd(room(director), &director->table, director->identity.mac, frame->data, packet);

    if (length == 0)
        return DR_ICMP_OTHER;
    replace(director, frame, length);
    return DR_ANSWERED;
}
