/* fate.c -- from what became of a first fragment to what becomes of the others. */
#include "fate.h"

#include "deliver.h"
#include "fragments.h"

/* What waited for this first fragment, or will follow it, shares its fate. */
void fate_learn(struct director *director, const struct packet *packet, const struct server *server,
                enum dr_verdict verdict, uint64_t now_ns)
{
    const struct fate fate = {
        .verdict = verdict,
        .slot = server ? (uint32_t)(server - director->table.servers) : NO_SLOT,
    };

    fragments_learn(director->fragments, packet, fate, seconds_at(now_ns));
    director->first_fragment = *packet;
    director->has_first_fragment = true;
}

/* No error is sent about a later fragment (RFC 1122 section 3.2.2). */
static enum dr_verdict share_fate(struct director *director, struct dr_frame *frame,
                                  const struct packet *packet, struct fate fate, uint64_t now_ns)
{
    if (fate.slot == NO_SLOT)
        return fate.verdict;
    struct server *server = &director->table.servers[fate.slot];
    if (!server_is_there(server))
        return DR_SERVER_REMOVED;
    deliver_count(director, server, packet);
    if (fate.verdict != DR_FORWARDED)
        return fate.verdict;
    return deliver(director, frame, packet, server, DR_FORWARDED, now_ns);
}

enum dr_verdict fate_follow(struct director *director, struct dr_frame *frame,
                            const struct packet *packet, uint64_t now_ns)
{
    uint32_t now_s = seconds_at(now_ns);

    if (!table_serves(&director->table, packet->flow.address))
        return DR_NOT_A_VIP;
    struct fate fate = fragments_follow(director->fragments, packet, now_s);
    if (fate.verdict != DR_FRAGMENT_HELD)
        return share_fate(director, frame, packet, fate, now_ns);
    bool held = fragments_hold(director->fragments, frame, packet, now_s);
    return held ? DR_FRAGMENT_HELD : DR_TABLE_FULL;
}

struct dr_frame *fate_release(struct director *director, uint64_t now_ns)
{
    uint32_t now_s = seconds_at(now_ns);

    if (!director->has_first_fragment)
        return NULL;
    struct dr_frame *frame =
        fragments_release(director->fragments, &director->first_fragment, now_s);
    struct packet packet;
    if (!frame || packet_parse(frame->data, frame->length, &packet) != PACKET_LATER_FRAGMENT) {
        director->has_first_fragment = false;
        return NULL;
    }
    struct fate fate = fragments_follow(director->fragments, &packet, now_s);
    director->stats->verdicts[DR_FRAGMENT_HELD]--;
    director->stats->verdicts[share_fate(director, frame, &packet, fate, now_ns)]++;
    return frame;
}
