/* forward_icmp.c -- what becomes of ICMP. */
#include "forward_icmp.h"

#include "answer.h"
#include "deliver.h"
#include "fate.h"
#include "icmp.h"
#include "schedule.h"

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
    deliver_count(director, way.server, packet);
    if (way.connection)
        connections_count(&director->connections, way.connection, tick_of(now_ns));
    return deliver(director, frame, packet, way.server, DR_ICMP_FORWARDED, now_ns);
}

enum dr_verdict forward_icmp(struct director *director, struct dr_frame *frame,
                             const struct packet *packet, uint64_t now_ns)
{
    enum icmp_kind kind = icmp_kind(frame->data, packet);

    if (packet->is_fragment) {
        fate_learn(director, packet, NULL, DR_ICMP_OTHER, now_ns);
        return DR_ICMP_OTHER;
    }
    if (kind == ICMP_ERROR)
        return forward_icmp_error(director, frame, packet, now_ns);
    if (kind == ICMP_SOLICITATION)
        return answer_solicitation(director, frame, packet);
    if (!table_has_vip(&director->table, packet->flow.address))
        return DR_NOT_A_VIP;
    if (kind != ICMP_ECHO || !icmp_is_intact(frame->data, packet))
        return DR_ICMP_OTHER;
    icmp_answer_echo(frame->data, packet, director->identity.mac);
    frame->send = 1;
    return DR_ECHO_ANSWERED;
}
