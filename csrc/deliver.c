/* deliver.c -- what fits is sent on with other MAC addresses; otherwise the client is told. */
#include "deliver.h"

#include <string.h>

#include "answer.h"
#include "trace.h"

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
enum dr_verdict deliver(struct director *director, struct dr_frame *frame,
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
            answer_error(director, frame, packet, ICMP_TIME_EXCEEDED, 0, now_ns);
        return DR_TTL_EXCEEDED;
    }
    if (!is_icmp_error && !fits(frame, packet, mtu)) {
        if (packet->may_not_fragment)
            answer_error(director, frame, packet, ICMP_TOO_BIG, mtu, now_ns);
        return DR_OVERSIZE;
    }
    to_server(director, frame, server);
    return verdict;
}

/* Of a packet in fragments the kernel counts one, without the headers that only fragments have. */
void deliver_count(struct director *director, struct server *server, const struct packet *packet)
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
