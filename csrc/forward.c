/* forward.c -- one frame, one verdict. */
#include "forward.h"

#include <string.h>

#include "announce.h"
#include "fragments.h"
#include "icmp.h"
#include "reset.h"
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

/* ---- Answers: another frame takes the place of the one that came ---- */

static void answer(struct director *director, struct dr_frame *frame, size_t length)
{
    frame->data = director->answer + ANSWER_HEADROOM;
    frame->length = frame->captured = (uint32_t)length;
    frame->gso_size = 0;
    frame->send = 1;
}

static uint8_t *answer_room(struct director *director)
{
    return director->answer + ANSWER_HEADROOM;
}

/* RFC 1122 section 3.2.2: no error about an ICMP error, nor about a fragment but the first. */
static void send_error(struct director *director, struct dr_frame *frame,
                       const struct packet *packet, enum icmp_error error, uint32_t mtu,
                       uint64_t now_ns)
{
    uint32_t ratelimit_ms = error == ICMP_TOO_BIG ? 0 : director->tuning.icmp_ratelimit;

    if (packet->is_later_fragment ||
        !icmp_may_send(&director->limiter, packet->flow.client, ratelimit_ms, now_ns / 1000000))
        return;
    size_t length = icmp_write_error(answer_room(director), frame->data, packet,
                                     director->identity.mac, error, mtu);
    answer(director, frame, length);
}

/* ---- The way out ---- */

/* Joined segments leave as they came and are cut again by the interface, or the kernel for it. */
static bool fits(const struct dr_frame *frame, const struct packet *packet, uint32_t mtu)
{
    if (packet->ip_length <= mtu)
        return true;
    if (frame->gso_size == 0 || packet->is_fragment) /* the kernel joins no fragments */
        return false;
    uint32_t headers = packet->transport - packet->network + packet_header(frame->data, packet);
    return headers + frame->gso_size <= mtu;
}

/* Takes one off the time to live; false when it ends here. */
static bool age(uint8_t *ip, const struct packet *packet)
{
    uint8_t *ttl = packet->version == 4 ? ip + 8 : ip + 7;

    if (*ttl <= 1)
        return false;
    --*ttl;
    if (packet->version == 4) {
        /* RFC 1624: the field above the protocol became 0x0100 less. */
        uint32_t sum = (uint32_t)read16(ip + 10) + 0x0100;
        write16(ip + 10, (uint16_t)(sum + (sum >= 0xffff))); /* never the other zero, 0xffff */
    }
    return true;
}

static uint32_t way_mtu(const struct director *director, const struct server *server)
{
    uint32_t mtu = director->identity.mtu;

    return server->mtu != 0 && server->mtu < mtu ? server->mtu : mtu;
}

static void to_server(struct director *director, struct dr_frame *frame,
                      const struct server *server)
{
    packet_rewrite(frame->data, server->mac, director->identity.mac);
    frame->send = 1;
}

/* A real server that is this host: kernel IPVS's `local`. */
static bool is_this_host(const struct director *director, const struct server *server)
{
    return memcmp(server->mac, director->identity.mac, MAC) == 0;
}

/* Into the host's own stack as it came, whatever its length and time to live, as kernel IPVS does.
 * Without MAC addresses, for lo has none. */
static void to_this_host(struct dr_frame *frame)
{
    static const uint8_t none[MAC];

    packet_rewrite(frame->data, none, none);
    frame->send = 1;
    frame->local = 1;
}

/* Sends the frame on, or tells the client why not. `verdict` is what it is called when it went. */
static enum dr_verdict deliver(struct director *director, struct dr_frame *frame,
                               const struct packet *packet, const struct server *server,
                               enum dr_verdict verdict, uint64_t now_ns)
{
    bool is_icmp_error = verdict == DR_ICMP_FORWARDED;
    uint32_t mtu = way_mtu(director, server);

    trace_server(director, server);
    if (!server_has_mac(server))
        return DR_NO_MAC;
    if (is_this_host(director, server)) {
        to_this_host(frame);
        return verdict;
    }
    if (director->tuning.decrement_ttl && !age(frame->data + packet->network, packet)) {
        if (!is_icmp_error)
            send_error(director, frame, packet, ICMP_TIME_EXCEEDED, 0, now_ns);
        return DR_TTL_EXCEEDED;
    }
    if (!is_icmp_error && !fits(frame, packet, mtu)) {
        if (packet->may_not_fragment)
            send_error(director, frame, packet, ICMP_TOO_BIG, mtu, now_ns);
        return DR_OVERSIZE;
    }
    to_server(director, frame, server);
    return verdict;
}

/* Of a packet in fragments the kernel counts one, without the headers that only fragments have. */
static void count(struct director *director, struct server *server, const struct packet *packet)
{
    if (server->use == SLOT_FOREIGN)
        return;
    struct service *service = &director->table.services[server->service];
    uint32_t packets = packet->is_later_fragment ? 0 : 1;
    uint32_t bytes = packet->is_later_fragment ? packet_payload(packet)
                                               : packet->ip_length - packet->fragment_header;

    server->in.packets += packets;
    server->in.bytes += bytes;
    service->in.packets += packets;
    service->in.bytes += bytes;
    director->table.totals->in.packets++;
    director->table.totals->in.bytes += bytes;
}

/* What waited for this first fragment, or will follow it, shares its fate. */
static void learn(struct director *director, const struct packet *packet,
                  const struct server *server, enum dr_verdict verdict, uint64_t now_ns)
{
    const struct fate fate = {
        .verdict = verdict,
        .slot = server ? (uint32_t)(server - director->table.servers) : NO_SLOT,
    };

    fragments_learn(director->fragments, packet, fate, seconds_of(tick_of(now_ns)));
    director->first_fragment = *packet;
    director->has_first_fragment = true;
}

/* ---- TCP, UDP, SCTP ---- */

/* What synchronisation and the emergency defences go by: packets of a connection, or, of one that
 * does not last, of its template. */
static void count_use(struct director *director, const struct way *way, uint32_t tick)
{
    if (way->connection)
        connections_count(&director->connections, way->connection);
    if (director->sync)
        sync_packet(director, way, tick);
    else if (!way->connection && way->template)
        connections_count(&director->connections, way->template);
}

static enum dr_verdict forward_on(struct director *director, struct dr_frame *frame,
                                  const struct packet *packet, const struct way *way,
                                  uint64_t now_ns)
{
    count(director, way->server, packet);
    if (way->connection)
        connections_packet(&director->connections, &director->table, way->connection, packet,
                           director->defense.is_secure, tick_of(now_ns));
    enum dr_verdict verdict = deliver(director, frame, packet, way->server, DR_FORWARDED, now_ns);
    count_use(director, way, tick_of(now_ns));
    return verdict;
}

/* The client of a connection that has just been ended; told once, since the next packet has none.
 */
static enum dr_verdict tell_reset(struct director *director, struct dr_frame *frame,
                                  const struct packet *packet, uint64_t now_ns)
{
    if (packet->flow.protocol != PROTOCOL_TCP) {
        send_error(director, frame, packet, ICMP_PORT_UNREACHABLE, 0, now_ns);
    } else {
        size_t length =
            reset_write(answer_room(director), frame->data, packet, director->identity.mac);
        if (length > 0)
            answer(director, frame, length);
    }
    return frame->send ? DR_RESET : DR_DRAINED;
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
        send_error(director, frame, packet, ICMP_PORT_UNREACHABLE, 0, now_ns);
    else if (verdict == DR_RESET)
        verdict = tell_reset(director, frame, packet, now_ns);
    if (packet->is_fragment)
        learn(director, packet, has_way ? way.server : NULL, verdict, now_ns);
    return verdict;
}

/* ---- Fragments ---- */

/* No error is sent about a later fragment (RFC 1122 section 3.2.2). */
static enum dr_verdict share_fate(struct director *director, struct dr_frame *frame,
                                  const struct packet *packet, struct fate fate, uint64_t now_ns)
{
    if (fate.slot == NO_SLOT)
        return fate.verdict;
    struct server *server = &director->table.servers[fate.slot];
    if (!server_is_there(server))
        return DR_SERVER_REMOVED;
    count(director, server, packet);
    if (fate.verdict != DR_FORWARDED)
        return fate.verdict;
    return deliver(director, frame, packet, server, DR_FORWARDED, now_ns);
}

static enum dr_verdict forward_fragment(struct director *director, struct dr_frame *frame,
                                        const struct packet *packet, uint64_t now_ns)
{
    uint32_t now_s = seconds_of(tick_of(now_ns));

    if (!table_serves(&director->table, packet->flow.address))
        return DR_NOT_A_VIP;
    struct fate fate = fragments_follow(director->fragments, packet, now_s);
    if (fate.verdict != DR_FRAGMENT_HELD)
        return share_fate(director, frame, packet, fate, now_ns);
    bool held = fragments_hold(director->fragments, frame, packet, now_s);
    return held ? DR_FRAGMENT_HELD : DR_TABLE_FULL;
}

struct dr_frame *forward_held(struct director *director, uint64_t now_ns)
{
    uint32_t now_s = seconds_of(tick_of(now_ns));

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

/* ---- ICMP ---- */

/* An error goes to the server of the connection it is about, so that the server learns a path's
 * MTU. It moves neither the connection's state nor its timer. */
static enum dr_verdict forward_icmp_error(struct director *director, struct dr_frame *frame,
                                          const struct packet *packet, uint64_t now_ns)
{
    struct flow flow;

    if (!icmp_concerns(frame->data, packet, &flow))
        return DR_ICMP_OTHER;
    struct way way = {0};
    enum dr_verdict verdict = schedule_related(director, &flow, tick_of(now_ns), &way);
    if (verdict != DR_FORWARDED)
        return verdict;
    count(director, way.server, packet);
    if (way.connection)
        connections_count(&director->connections, way.connection);
    return deliver(director, frame, packet, way.server, DR_ICMP_FORWARDED, now_ns);
}

static enum dr_verdict solicitation(struct director *director, struct dr_frame *frame,
                                    const struct packet *packet)
{
    size_t length = announce_nd(answer_room(director), &director->table, director->identity.mac,
                                frame->data, packet);

    if (length == 0)
        return DR_ICMP_OTHER;
    answer(director, frame, length);
    return DR_ANSWERED;
}

static enum dr_verdict forward_icmp(struct director *director, struct dr_frame *frame,
                                    const struct packet *packet, uint64_t now_ns)
{
    enum icmp_kind kind = icmp_kind(frame->data, packet);

    if (packet->is_fragment) {
        learn(director, packet, NULL, DR_ICMP_OTHER, now_ns);
        return DR_ICMP_OTHER;
    }
    if (kind == ICMP_ERROR)
        return forward_icmp_error(director, frame, packet, now_ns);
    if (kind == ICMP_SOLICITATION)
        return solicitation(director, frame, packet);
    if (!table_has_vip(&director->table, packet->flow.address))
        return DR_NOT_A_VIP;
    if (kind != ICMP_ECHO || !icmp_is_intact(frame->data, packet))
        return DR_ICMP_OTHER;
    icmp_answer_echo(frame->data, packet, director->identity.mac);
    frame->send = 1;
    return DR_ECHO_ANSWERED;
}

/* ---- All of it ---- */

void forward_look(const struct director *director, const struct dr_frame *frame, struct look *look)
{
    look->admitted = admit(&director->identity, frame);
    if (look->admitted != DR_FORWARDED)
        return;
    look->kind = packet_parse(frame->data, frame->length, &look->packet);
    if (look->kind == PACKET_TAGGED || look->packet.vlan != director->identity.vlan)
        look->admitted = DR_WRONG_VLAN;
    if (look->admitted != DR_FORWARDED || look->kind != PACKET_TRANSPORT)
        return;
    look->packet.hash = connections_hash(&director->connections, &look->packet.flow);
    connections_fetch_bucket(&director->connections, look->packet.hash);
}

static bool has_flow(const struct look *look)
{
    return look->admitted == DR_FORWARDED && look->kind == PACKET_TRANSPORT;
}

void forward_fetch(const struct director *director, const struct look *looks, int count)
{
    const struct connections *connections = &director->connections;

    for (int i = 0; i < count; i++)
        if (has_flow(&looks[i]))
            connections_fetch_entry(connections, looks[i].packet.hash);
    for (int i = 0; i < count; i++)
        if (has_flow(&looks[i]))
            connections_fetch_next(connections, &looks[i].packet.flow, looks[i].packet.hash);
}

/* What kernel IPVS looks at; the rest is its stack's. */
static bool is_balanced(const struct dr_frame *frame, const struct look *look)
{
    return look->kind == PACKET_TRANSPORT || look->kind == PACKET_LATER_FRAGMENT ||
           (look->kind == PACKET_ICMP && icmp_kind(frame->data, &look->packet) == ICMP_ERROR);
}

static enum dr_verdict decide(struct director *director, struct dr_frame *frame,
                              const struct look *look, uint64_t now_ns)
{
    const struct dr_identity *identity = &director->identity;
    const struct packet *packet = &look->packet;
    enum packet_kind kind = look->kind;

    if (look->admitted != DR_FORWARDED)
        return look->admitted;
    if (identity->standby)
        return DR_STANDBY;
    if (kind == PACKET_ARP)
        return is_to_us(identity, frame) || is_broadcast(frame)
                   ? announce_arp(&director->table, identity->mac, frame, packet)
                   : DR_ARP_OTHER;
    if (kind == PACKET_ICMP && is_solicited_node(frame) &&
        icmp_kind(frame->data, packet) == ICMP_SOLICITATION)
        return solicitation(director, frame, packet);
    if (!is_to_us(identity, frame))
        return DR_NOT_FOR_US;
    if (director->is_backup && director->tuning.backup_only && is_balanced(frame, look))
        return DR_STANDBY;

    switch (kind) {
    case PACKET_TRANSPORT:
        return forward_transport(director, frame, packet, now_ns);
    case PACKET_ICMP:
        return forward_icmp(director, frame, packet, now_ns);
    case PACKET_LATER_FRAGMENT:
        return forward_fragment(director, frame, packet, now_ns);
    case PACKET_ARP:
        return DR_ARP_OTHER;
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

/* With a record of it, for those who want one. */
static enum dr_verdict decide_traced(struct director *director, struct dr_frame *frame,
                                     const struct look *look, uint64_t now_ns)
{
    struct sight sight = sight_of(look);
    const struct dr_frame came = *frame;
    bool is_recorded = trace_is_awake(director) && trace_begin(director, frame, sight, now_ns);
    enum dr_verdict verdict = decide(director, frame, look, now_ns);

    if (is_recorded)
        trace_end(director, frame, sight, verdict);
    if (is_recorded && trace_is_drop(verdict))
        trace_drop_recorded(director);
    else if (trace_is_drop(verdict))
        trace_drop(director, &came, sight, verdict, now_ns);
    return verdict;
}

enum dr_verdict forward_decide(struct director *director, struct dr_frame *frame,
                               const struct look *look, uint64_t now_ns)
{
    return director->trace ? decide_traced(director, frame, look, now_ns)
                           : decide(director, frame, look, now_ns);
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
