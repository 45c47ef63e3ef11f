/* forward.c -- one frame, one verdict. */
#include "forward.h"

#include <string.h>

#include "announce.h"
#include "answer.h"
#include "deliver.h"
#include "fate.h"
#include "forward_icmp.h"
#include "icmp.h"
#include "schedule.h"
#include "sync.h"
#include "trace.h"

/* ---- Is the frame one for us at all? ---- */

/* DR_FORWARDED here means: nothing against it so far. */
static enum dr_verdict admit(const struct dr_identity *identity, const struct dr_frame *frame)
{
    if (frame->captured < frame->length)
        return DR_TRUNCATED;
    if (frame->length < ETHERNET_HEADER)
        return DR_MALFORMED;
    if (memcmp(frame->data + MAC, identity->mac, MAC) == 0)
        return DR_OWN_FRAME;
    /* Two directors that have each other for real servers would never be done. */
    for (uint32_t i = 0; i < identity->peer_count; i++)
        if (memcmp(frame->data + MAC, identity->peers[i], MAC) == 0)
            return DR_FROM_PEER;
    return DR_FORWARDED;
}

static bool is_to_us(const struct dr_identity *identity, const struct dr_frame *frame)
{
    return memcmp(frame->data, identity->mac, MAC) == 0;
}

static bool is_broadcast(const struct dr_frame *frame)
{
    static const uint8_t broadcast[MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    return memcmp(frame->data, broadcast, MAC) == 0;
}

/* RFC 2464 section 7: a solicited-node group's MAC address. */
static bool is_solicited_node(const struct dr_frame *frame)
{
    static const uint8_t prefix[3] = {0x33, 0x33, 0xff};

    return memcmp(frame->data, prefix, sizeof(prefix)) == 0;
}

/* ---- TCP, UDP, SCTP ---- */

/* What synchronisation and the emergency defences go by: packets of a connection, or, of one that
 * does not last, of its template. */
static void count_use(struct director *director, const struct way *way, uint32_t tick)
{
    if (way->connection)
        connections_count(&director->connections, way->connection, tick);
    if (director->sync)
        sync_packet(director, way, tick);
    else if (!way->connection && way->template)
        connections_count(&director->connections, way->template, tick);
}

static enum dr_verdict forward_on(struct director *director, struct dr_frame *frame,
                                  const struct packet *packet, const struct way *way,
                                  uint64_t now_ns)
{
    deliver_count(director, way->server, packet);
    if (way->connection)
        connections_packet(&director->connections, &director->table, way->connection, packet,
                           director->defense.is_secure, tick_of(now_ns));
    enum dr_verdict verdict = deliver(director, frame, packet, way->server, DR_FORWARDED, now_ns);
    count_use(director, way, tick_of(now_ns));
    return verdict;
}

static enum dr_verdict forward_transport(struct director *director, struct dr_frame *frame,
                                         const struct packet *packet, uint64_t now_ns)
{
    struct way way = {0};
    enum dr_verdict verdict = schedule_way(director, packet, tick_of(now_ns), &way);
    bool has_way = verdict == DR_FORWARDED;

    if (has_way)
        verdict = forward_on(director, frame, packet, &way, now_ns);
    else if (verdict == DR_NO_SERVER)
        answer_error(director, frame, packet, ICMP_PORT_UNREACHABLE, 0, now_ns);
    else if (verdict == DR_RESET)
        verdict = answer_reset(director, frame, packet, now_ns);
    if (packet->is_fragment)
        fate_learn(director, packet, has_way ? way.server : NULL, verdict, now_ns);
    return verdict;
}

/* ---- All of it ---- */

void forward_look(const struct director *director, const struct dr_frame *frame, struct look *look)
{
    look->admitted = admit(&director->identity, frame);
    look->has_flow = false;
    if (look->admitted != DR_FORWARDED)
        return;
    look->kind = packet_parse(frame->data, frame->length, &look->packet);
    if (look->kind == PACKET_TAGGED || look->packet.vlan != director->identity.vlan)
        look->admitted = DR_WRONG_VLAN;
    if (look->kind != PACKET_TRANSPORT)
        return;
    look->has_flow = true;
    look->packet.hash = connections_hash(&director->connections, &look->packet.flow);
    connections_fetch_bucket(&director->connections, look->packet.hash);
}

void forward_fetch(const struct director *director, const struct look *looks, int count)
{
    const struct connections *connections = &director->connections;

    for (int i = 0; i < count; i++)
        if (looks[i].has_flow)
            connections_fetch_entry(connections, looks[i].packet.hash);
    for (int i = 0; i < count; i++)
        if (looks[i].has_flow)
            connections_fetch_next(connections, &looks[i].packet.flow, looks[i].packet.hash);
}

/* What kernel IPVS looks at; the rest is its stack's. */
static bool is_balanced(const struct dr_frame *frame, const struct look *look)
{
    return look->kind == PACKET_TRANSPORT || look->kind == PACKET_LATER_FRAGMENT ||
           (look->kind == PACKET_ICMP && icmp_kind(frame->data, &look->packet) == ICMP_ERROR);
}

/* To another MAC address: questions for the owner of an address, or none of our business. */
__attribute__((noinline)) static enum dr_verdict
answer_all(struct director *director, struct dr_frame *frame, const struct look *look)
{
    const struct packet *packet = &look->packet;

    if (look->kind == PACKET_ARP)
        return is_broadcast(frame)
                   ? announce_arp(&director->table, director->identity.mac, frame, packet)
                   : DR_ARP_OTHER;
    if (look->kind == PACKET_ICMP && is_solicited_node(frame) &&
        icmp_kind(frame->data, packet) == ICMP_SOLICITATION)
        return answer_solicitation(director, frame, packet);
    return DR_NOT_FOR_US;
}

/* To us, and no frame of a flow. */
__attribute__((noinline)) static enum dr_verdict decide_other(struct director *director,
                                                              struct dr_frame *frame,
                                                              const struct look *look,
                                                              uint64_t now_ns)
{
    const struct packet *packet = &look->packet;

    switch (look->kind) {
    case PACKET_TRANSPORT:
        break;
    case PACKET_ICMP:
        return forward_icmp(director, frame, packet, now_ns);
    case PACKET_LATER_FRAGMENT:
        return fate_follow(director, frame, packet, now_ns);
    case PACKET_ARP:
        return announce_arp(&director->table, director->identity.mac, frame, packet);
    case PACKET_TAGGED:
        return DR_WRONG_VLAN;
    case PACKET_NOT_IP:
        return DR_NOT_IP;
    case PACKET_MALFORMED:
        return DR_MALFORMED;
    case PACKET_BAD_CHECKSUM:
        return DR_BAD_CHECKSUM;
    case PACKET_MARTIAN:
        return DR_MARTIAN;
    case PACKET_SOURCE_ROUTED:
        return DR_SOURCE_ROUTED;
    case PACKET_OTHER_PROTOCOL:
        return DR_OTHER_PROTOCOL;
    }
    return DR_MALFORMED;
}

static enum dr_verdict decide(struct director *director, struct dr_frame *frame,
                              const struct look *look, uint64_t now_ns)
{
    if (look->admitted != DR_FORWARDED)
        return look->admitted;
    if (director->identity.standby)
        return DR_STANDBY;
    if (!is_to_us(&director->identity, frame))
        return answer_all(director, frame, look);
    if (director->is_backup && director->tuning.backup_only && is_balanced(frame, look))
        return DR_STANDBY;
    return look->kind == PACKET_TRANSPORT
               ? forward_transport(director, frame, &look->packet, now_ns)
               : decide_other(director, frame, look, now_ns);
}

static struct sight sight_of(const struct look *look)
{
    struct sight sight = {.packet = &look->packet, .parsed = DR_PARSED_NOTHING};

    if (look->admitted != DR_FORWARDED && look->admitted != DR_WRONG_VLAN)
        sight.packet = NULL;
    else if (look->kind == PACKET_TRANSPORT)
        sight.parsed = DR_PARSED_PORTS;
    else if (look->kind == PACKET_ICMP || look->kind == PACKET_LATER_FRAGMENT ||
             look->kind == PACKET_OTHER_PROTOCOL)
        sight.parsed = DR_PARSED_ADDRESSES;
    else if (look->kind == PACKET_ARP)
        sight.parsed = DR_PARSED_ARP;
    return sight;
}

/* The record of a decision goes to those who want it, and one of a dropped frame is kept. */
__attribute__((noinline)) static void tell(struct director *director, const struct dr_frame *frame,
                                           const struct look *look, enum dr_verdict verdict)
{
    trace_end(director, frame, sight_of(look), verdict);
    if (trace_is_drop(verdict))
        trace_drop_recorded(director);
}

enum dr_verdict forward_decide(struct director *director, struct dr_frame *frame,
                               const struct look *look, uint64_t now_ns)
{
    const struct dr_frame came = *frame;
    bool is_recorded = director->trace && trace_is_awake(director) &&
                       trace_begin(director, frame, sight_of(look), now_ns);
    enum dr_verdict verdict = decide(director, frame, look, now_ns);

    if (__builtin_expect(is_recorded, false))
        tell(director, frame, look, verdict);
    else if (__builtin_expect(trace_is_drop(verdict), false) && director->trace)
        trace_drop(director, &came, sight_of(look), verdict, now_ns);
    return verdict;
}

void forward_failed(struct director *director, const struct dr_frame *frame,
                    const struct look *look, uint64_t now_ns)
{
    if (director->trace)
        trace_drop(director, frame, sight_of(look), DR_SEND_FAILED, now_ns);
}

enum dr_verdict forward(struct director *director, struct dr_frame *frame, uint64_t now_ns)
{
    struct look look;

    forward_look(director, frame, &look);
    return forward_decide(director, frame, &look, now_ns);
}

struct dr_frame *forward_held(struct director *director, uint64_t now_ns)
{
    return fate_release(director, now_ns);
}
