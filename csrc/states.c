/* states.c -- the kernel's input-only state tables and time-outs, as data. */
#include "states.h"

enum event { EVENT_SYN, EVENT_FIN, EVENT_ACK, EVENT_RST, EVENTS };

enum {
    NO = DR_TCP_NONE,
    ES = DR_TCP_ESTABLISHED,
    SS = DR_TCP_SYN_SENT,
    SR = DR_TCP_SYN_RECV,
    FW = DR_TCP_FIN_WAIT,
    TW = DR_TCP_TIME_WAIT,
    CL = DR_TCP_CLOSE,
    CW = DR_TCP_CLOSE_WAIT,
    LA = DR_TCP_LAST_ACK,
    LI = DR_TCP_LISTEN,
    SA = DR_TCP_SYNACK,
};

/* The server's packets never pass here, so only the client's decide: its FIN ends in FIN_WAIT for
 * good, and a RST on a half-open connection may be a forgery and changes nothing. */
static const uint8_t input_only[EVENTS][DR_TCP_STATES] = {
    /*              NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
    [EVENT_SYN] = {SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR},
    [EVENT_FIN] = {CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW},
    [EVENT_ACK] = {ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES},
    [EVENT_RST] = {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL},
};

/* A SYN leads to SYNACK, which only the client's ACK turns into an established connection. */
static const uint8_t secure_syn[DR_TCP_STATES] = {SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA};

static const uint16_t timeouts_s[DR_TCP_STATES] = {
    [NO] = 2,  [ES] = 900, [SS] = 120, [SR] = 60,  [FW] = 120, [TW] = 120,
    [CL] = 10, [CW] = 60,  [LA] = 30,  [LI] = 120, [SA] = 120,
};

static uint8_t tcp_after(uint8_t state, uint8_t tcp_flags, bool secure)
{
    if (tcp_flags & TCP_RST)
        return input_only[EVENT_RST][state];
    if (tcp_flags & TCP_SYN)
        return secure ? secure_syn[state] : input_only[EVENT_SYN][state];
    if (tcp_flags & TCP_FIN)
        return input_only[EVENT_FIN][state];
    if (tcp_flags & TCP_ACK)
        return input_only[EVENT_ACK][state];
    return DR_TCP_CLOSE;
}

/* ---- SCTP ---- */

enum sctp_event {
    SCTP_DATA,
    SCTP_INIT,
    SCTP_INIT_ACK,
    SCTP_COOKIE_ECHO,
    SCTP_COOKIE_ACK,
    SCTP_SHUTDOWN,
    SCTP_SHUTDOWN_ACK,
    SCTP_SHUTDOWN_COMPLETE,
    SCTP_ERROR,
    SCTP_ABORT,
    SCTP_EVENTS,
};

/* By chunk type, RFC 9260 section 3.2; SACK, heartbeats and all unknown ones are data. */
static const uint8_t chunk_events[] = {
    [1] = SCTP_INIT,         [2] = SCTP_INIT_ACK,     [6] = SCTP_ABORT,
    [7] = SCTP_SHUTDOWN,     [8] = SCTP_SHUTDOWN_ACK, [9] = SCTP_ERROR,
    [10] = SCTP_COOKIE_ECHO, [11] = SCTP_COOKIE_ACK,  [14] = SCTP_SHUTDOWN_COMPLETE,
};

enum {
    N_ = DR_SCTP_NONE,
    I1 = DR_SCTP_INIT1,
    IN = DR_SCTP_INIT,
    CS = DR_SCTP_C_SENT,
    CR = DR_SCTP_C_REPLIED,
    WT = DR_SCTP_C_WAIT,
    CO = DR_SCTP_COOKIE,
    CE = DR_SCTP_C_ECHOED,
    EE = DR_SCTP_ESTABLISHED,
    ST = DR_SCTP_S_SENT,
    RV = DR_SCTP_S_RECEIVED,
    AS = DR_SCTP_S_ACK_SENT,
    RJ = DR_SCTP_REJECTED,
    CD = DR_SCTP_CLOSED,
};

static const uint8_t sctp_input_only[SCTP_EVENTS][DR_SCTP_STATES] = {
    /*                          N_  I1  IN  CS  CR  WT  CO  CE  EE  ST  RV  AS  RJ  CD */
    [SCTP_DATA] = {EE, I1, IN, CS, CR, EE, CO, CE, EE, ST, RV, AS, RJ, CD},
    [SCTP_INIT] = {I1, IN, IN, IN, IN, IN, CO, CE, EE, ST, RV, AS, IN, IN},
    [SCTP_INIT_ACK] = {CE, CE, CE, CE, CE, CE, CO, CE, EE, ST, RV, AS, RJ, CD},
    [SCTP_COOKIE_ECHO] = {EE, EE, EE, EE, EE, EE, CO, CE, EE, ST, RV, AS, RJ, CD},
    [SCTP_COOKIE_ACK] = {EE, I1, IN, EE, EE, WT, EE, EE, EE, ST, RV, AS, RJ, CD},
    [SCTP_SHUTDOWN] = {RV, I1, IN, CS, CR, WT, CO, CE, RV, ST, RV, AS, RJ, CD},
    [SCTP_SHUTDOWN_ACK] = {CD, IN, IN, CS, CR, WT, CO, CE, CD, CD, RV, CD, RJ, CD},
    [SCTP_SHUTDOWN_COMPLETE] = {CD, CD, CD, CD, CD, WT, CO, CE, EE, ST, CD, CD, RJ, CD},
    [SCTP_ERROR] = {CD, I1, IN, CS, CR, WT, CO, CE, EE, ST, RV, AS, RJ, CD},
    [SCTP_ABORT] = {CD, CD, CD, CD, CD, RJ, CD, CD, CD, CD, CD, CD, CD, CD},
};

static uint8_t sctp_after(uint8_t state, const struct packet *packet)
{
    enum sctp_event event = SCTP_DATA;

    if (packet->sctp_abort_follows)
        event = SCTP_ABORT;
    else if (packet->sctp_chunk < sizeof(chunk_events))
        event = chunk_events[packet->sctp_chunk];
    return sctp_input_only[event][state];
}

static uint32_t sctp_timeout_s(uint8_t state)
{
    switch (state) {
    case DR_SCTP_NONE:
        return 2;
    case DR_SCTP_INIT1:
    case DR_SCTP_REJECTED:
        return 4;
    case DR_SCTP_ESTABLISHED:
        return 900;
    default:
        return 61;
    }
}

/* ---- Any protocol ---- */

uint8_t state_after(uint8_t state, const struct packet *packet, bool secure)
{
    if (packet->is_cut_short && state != 0)
        return state;
    if (packet->flow.protocol == PROTOCOL_TCP)
        return tcp_after(state, packet->tcp_flags, secure);
    return packet->flow.protocol == PROTOCOL_SCTP ? sctp_after(state, packet) : 0;
}

bool state_is_active(uint8_t protocol, uint8_t state)
{
    if (protocol == PROTOCOL_TCP)
        return state == DR_TCP_ESTABLISHED || state == DR_TCP_SYN_SENT ||
               state == DR_TCP_SYN_RECV || state == DR_TCP_SYNACK;
    return state_is_established(protocol, state);
}

bool state_is_established(uint8_t protocol, uint8_t state)
{
    return (protocol == PROTOCOL_TCP && state == DR_TCP_ESTABLISHED) ||
           (protocol == PROTOCOL_SCTP && state == DR_SCTP_ESTABLISHED);
}

bool state_is_half_open(uint8_t protocol, uint8_t state)
{
    return (protocol == PROTOCOL_TCP && (state == DR_TCP_SYN_RECV || state == DR_TCP_SYNACK)) ||
           (protocol == PROTOCOL_SCTP && (state == DR_SCTP_INIT1 || state == DR_SCTP_INIT));
}

/* Not by a RST: a host answers with one when a SYN was sent in its name. */
bool state_is_proof(uint8_t protocol, uint8_t state)
{
    const uint32_t tcp = 1 << DR_TCP_ESTABLISHED | 1 << DR_TCP_FIN_WAIT | 1 << DR_TCP_TIME_WAIT |
                         1 << DR_TCP_CLOSE_WAIT | 1 << DR_TCP_LAST_ACK;
    const uint32_t sctp = 1 << DR_SCTP_ESTABLISHED | 1 << DR_SCTP_S_SENT | 1 << DR_SCTP_S_RECEIVED |
                          1 << DR_SCTP_S_ACK_SENT;

    if (protocol == PROTOCOL_TCP)
        return tcp >> state & 1;
    return protocol != PROTOCOL_SCTP || sctp >> state & 1;
}

bool state_is_told(uint8_t protocol, uint8_t state)
{
    const uint32_t tcp = 1 << DR_TCP_ESTABLISHED | 1 << DR_TCP_FIN_WAIT | 1 << DR_TCP_CLOSE |
                         1 << DR_TCP_CLOSE_WAIT | 1 << DR_TCP_TIME_WAIT;
    const uint32_t sctp = 1 << DR_SCTP_ESTABLISHED | 1 << DR_SCTP_S_SENT | 1 << DR_SCTP_S_RECEIVED |
                          1 << DR_SCTP_S_ACK_SENT | 1 << DR_SCTP_CLOSED;

    if (protocol == PROTOCOL_TCP)
        return tcp >> state & 1;
    return protocol != PROTOCOL_SCTP || sctp >> state & 1;
}

uint32_t state_count(uint8_t protocol)
{
    switch (protocol) {
    case PROTOCOL_TCP:
        return DR_TCP_STATES;
    case PROTOCOL_SCTP:
        return DR_SCTP_STATES;
    case PROTOCOL_UDP:
        return 1;
    default:
        return 0;
    }
}

uint32_t state_timeout_s(uint8_t protocol, uint8_t state, const struct dr_timeouts *timeouts)
{
    if (protocol == PROTOCOL_UDP)
        return timeouts->udp_s;
    if (protocol == PROTOCOL_SCTP)
        return sctp_timeout_s(state);
    if (state == DR_TCP_ESTABLISHED)
        return timeouts->tcp_s;
    return state == DR_TCP_FIN_WAIT ? timeouts->tcp_fin_s : timeouts_s[state];
}
