/* explain.c -- words for every verdict, and for how a real server was found. */
#include "explain.h"

#include <string.h>

#include "packet.h"
#include "schedulers/schedulers.h"
#include "text.h"

/* What became of it and why, where no server was reached. */
static const char *const refusals[DR_VERDICTS] = {
    [DR_ANSWERED] = "Answered: it asks who has a VIP, and the director says that it has it.",
    [DR_ECHO_ANSWERED] = "Answered: a ping of a VIP.",
    [DR_FRAGMENT_HELD] = "Held: a fragment without ports, and the first one, which has them, has "
                         "not come.",
    [DR_ARP_OTHER] = "Not ours: ARP that does not ask for a VIP.",
    [DR_ARP_CONFLICT] = "Somebody else claims a VIP by ARP: a real server without arp_ignore, or "
                        "a second director.",
    [DR_NOT_FOR_US] = "Not ours: its destination MAC address is not the one that the VIPs are "
                      "announced with.",
    [DR_OWN_FRAME] = "Not looked at: its source MAC address is the director's own, so the director "
                     "sent it.",
    [DR_FROM_PEER] = "Dropped: another director sent it on, and a frame is sent on once.",
    [DR_TRUNCATED] = "Dropped: only part of it is here.",
    [DR_OVERSIZE] = "Dropped: too long for the way to its real server.",
    [DR_WRONG_VLAN] = "Dropped: its VLAN tags are not those of the director.",
    [DR_NOT_IP] = "Dropped: neither ARP nor IP.",
    [DR_MALFORMED] = "Dropped: a length, version or header field contradicts its bytes.",
    [DR_BAD_CHECKSUM] = "Dropped: the checksum of its IPv4 header is wrong.",
    [DR_MARTIAN] = "Dropped: no client can have its source address.",
    [DR_SOURCE_ROUTED] = "Dropped: it asks for a source route, which hosts do not accept.",
    [DR_OTHER_PROTOCOL] = "Dropped: neither TCP, UDP, SCTP nor ICMP.",
    [DR_ICMP_OTHER] = "Dropped: ICMP that concerns no connection.",
    [DR_NOT_A_VIP] = "Dropped: its destination address is no VIP.",
    [DR_NO_SERVICE] = "Dropped: a VIP, but no virtual service on that port.",
    [DR_NO_CONNECTION] = "Dropped: it belongs to no connection, and does not begin one.",
    [DR_NO_SERVER] = "Dropped: no real server may take the connection.",
    [DR_SERVER_REMOVED] = "Dropped: the real server of its connection has been taken out.",
    [DR_DRAINED] = "Dropped: the real server of its connection is drained, and the connection was "
                   "ended.",
    [DR_RESET] = "Refused: the real server of its connection is drained, the connection was ended, "
                 "and the client told.",
    [DR_NO_MAC] = "Dropped: the MAC address of its real server is not known.",
    [DR_TTL_EXCEEDED] = "Dropped: its time to live ended here.",
    [DR_TABLE_FULL] = "Dropped: there is no room for another connection or fragment.",
    [DR_SEND_FAILED] = "Lost: the interface did not take it.",
    [DR_STANDBY] = "Not ours now: this director stands by, and another one has the VIPs.",
    [DR_SHED] = "Dropped by drop_packet: it would have begun a connection while memory is short.",
};

static const char *const tcp_states[DR_TCP_STATES] = {
    [DR_TCP_NONE] = "NONE",         [DR_TCP_ESTABLISHED] = "ESTABLISHED",
    [DR_TCP_SYN_SENT] = "SYN_SENT", [DR_TCP_SYN_RECV] = "SYN_RECV",
    [DR_TCP_FIN_WAIT] = "FIN_WAIT", [DR_TCP_TIME_WAIT] = "TIME_WAIT",
    [DR_TCP_CLOSE] = "CLOSE",       [DR_TCP_CLOSE_WAIT] = "CLOSE_WAIT",
    [DR_TCP_LAST_ACK] = "LAST_ACK", [DR_TCP_LISTEN] = "LISTEN",
    [DR_TCP_SYNACK] = "SYNACK",
};

static void add_server(struct text *text, const struct dr_record *record)
{
    text_address(text, record->server);
}

static void add_candidate(struct text *text, const struct dr_record *record)
{
    const struct dr_candidate *chosen = &record->candidates[record->chosen];

    text_add(text, " (weight ");
    text_number(text, chosen->weight);
    text_add(text, ", ");
    text_number(text, chosen->active);
    text_add(text, " active and ");
    text_number(text, chosen->inactive);
    text_add(text, " inactive connections)");
}

static void add_scheduled(struct text *text, const struct dr_record *record)
{
    const struct scheduler *scheduler = scheduler_of(record->scheduler);

    text_add(text, "A new connection: ");
    text_add(text, scheduler ? scheduler->name : "the scheduler");
    text_add(text, " chose ");
    add_server(text, record);
    if (record->chosen >= 0 && record->chosen < DR_CANDIDATES)
        add_candidate(text, record);
    text_add(text, " out of ");
    text_number(text, record->candidate_count);
    text_add(text, record->candidate_count == 1 ? " real server" : " real servers");
}

static void add_way(struct text *text, const struct dr_record *record)
{
    switch ((enum dr_by)record->by) {
    case DR_BY_SCHEDULER:
        add_scheduled(text, record);
        return;
    case DR_BY_TEMPLATE:
        text_add(text, "A new connection of a client that persistence keeps at ");
        break;
    case DR_BY_CONNECTION:
        text_add(text, "Its connection is with ");
        break;
    case DR_BY_FRAGMENT:
        text_add(text, "A later fragment, which follows the first one to ");
        break;
    case DR_BY_ICMP:
        text_add(text, "An ICMP error about a connection with ");
        break;
    case DR_BY_NOTHING:
    case DR_BYS:
        text_add(text, "Its real server is ");
        break;
    }
    add_server(text, record);
}

static void add_state(struct text *text, const struct dr_record *record)
{
    if (record->protocol != PROTOCOL_TCP || !record->connection_after ||
        record->state_after >= DR_TCP_STATES || record->state_before >= DR_TCP_STATES)
        return;
    if (record->connection_before && record->state_before == record->state_after) {
        text_add(text, "; its state stays ");
        text_add(text, tcp_states[record->state_after]);
        return;
    }
    text_add(text, "; its state becomes ");
    text_add(text, tcp_states[record->state_after]);
    if (!record->connection_before)
        return;
    text_add(text, " after ");
    text_add(text, tcp_states[record->state_before]);
}

static bool is_into_this_host(const struct dr_record *record)
{
    static const uint8_t none[MAC];

    return memcmp(record->after, none, MAC) == 0;
}

static void add_ttl(struct text *text, const struct dr_record *record)
{
    if (record->ttl_before == record->ttl_after) {
        text_add(text, "; nothing above Ethernet changes.");
        return;
    }
    text_add(text, ", the time to live ");
    text_number(text, record->ttl_after);
    text_add(text, ".");
}

/* Only what differs. */
static void add_changes(struct text *text, const struct dr_record *record)
{
    if (is_into_this_host(record)) {
        text_add(text, " That server is this host: the frame goes into its own stack as it came.");
        return;
    }
    text_add(text, " The destination MAC becomes ");
    text_mac(text, record->after);
    text_add(text, " (the real server's), the source MAC ");
    text_mac(text, record->after + MAC);
    text_add(text, " (the director's)");
    add_ttl(text, record);
}

size_t explain(const struct dr_record *record, char *out, size_t room)
{
    struct text text = {.bytes = out, .room = room};
    const char *refusal = record->verdict < DR_VERDICTS ? refusals[record->verdict] : NULL;

    if (refusal) {
        text_add(&text, refusal);
        if (record->has_server) {
            text_add(&text, " ");
            add_way(&text, record);
            text_add(&text, ".");
        }
        if (record->sent && record->verdict > DR_FRAGMENT_HELD)
            text_add(&text, " Its sender is told so by ICMP.");
        return text.length;
    }
    add_way(&text, record);
    add_state(&text, record);
    text_add(&text, ".");
    add_changes(&text, record);
    return text.length;
}
