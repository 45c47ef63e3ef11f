/* states.c -- the kernel's input-only state table and time-outs, as data. */
#include "states.h"

#include "packet.h"

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

static const uint16_t timeouts_s[DR_TCP_STATES] = {
    [NO] = 2,   [ES] = 900, [SS] = 120, [SR] = 60,  [FW] = 120, [TW] = 120,
    [CL] = 10,  [CW] = 60,  [LA] = 30,  [LI] = 120, [SA] = 120,
};

enum dr_tcp_state state_after(enum dr_tcp_state state, uint8_t tcp_flags)
{
    if (tcp_flags & TCP_RST)
        return input_only[EVENT_RST][state];
    if (tcp_flags & TCP_SYN)
        return input_only[EVENT_SYN][state];
    if (tcp_flags & TCP_FIN)
        return input_only[EVENT_FIN][state];
    if (tcp_flags & TCP_ACK)
        return input_only[EVENT_ACK][state];
    return DR_TCP_CLOSE;
}

bool state_is_active(enum dr_tcp_state state)
{
    return state == DR_TCP_ESTABLISHED || state == DR_TCP_SYN_SENT || state == DR_TCP_SYN_RECV ||
           state == DR_TCP_SYNACK;
}

uint32_t state_timeout_s(enum dr_tcp_state state, const struct dr_timeouts *timeouts)
{
    if (state == DR_TCP_ESTABLISHED)
        return timeouts->tcp_s;
    if (state == DR_TCP_FIN_WAIT)
        return timeouts->tcp_fin_s;
    return timeouts_s[state];
}
