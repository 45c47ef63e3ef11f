/* test_states.c -- the kernel's input-only tables, and what follows from a state. */
#include "states.h"

#include <string.h>

#include "packet.h"
#include "test.h"

static const char letters[DR_TCP_STATES][3] = {
    "NO", "ES", "SS", "SR", "FW", "TW", "CL", "CW", "LA", "LI", "SA",
};

static enum dr_tcp_state named(const char *word)
{
    for (int state = 0; state < DR_TCP_STATES; state++)
        if (memcmp(letters[state], word, 2) == 0)
            return (enum dr_tcp_state)state;
    CHECK(!"a state's name");
    return DR_TCP_NONE;
}

static uint8_t after(int state, int flags, bool secure)
{
    const struct packet packet = {.flow.protocol = PROTOCOL_TCP, .tcp_flags = (uint8_t)flags};

    return state_after((uint8_t)state, &packet, secure);
}

static void row_is(uint8_t flags, bool secure, const char *row)
{
    for (int state = 0; state < DR_TCP_STATES; state++)
        CHECK(after(state, flags, secure) == named(row + state * 3));
}

static void each_cell_is_the_kernels(void)
{
    row_is(TCP_SYN, false, "SR ES ES SR SR SR SR SR SR SR SR");
    row_is(TCP_FIN, false, "CL FW SS TW FW TW CL CW LA LI TW");
    row_is(TCP_ACK, false, "ES ES SS ES FW TW CL CW CL LI ES");
    row_is(TCP_RST, false, "CL CL CL SR CL CL CL CL LA LI CL");
    row_is(0, false, "CL CL CL CL CL CL CL CL CL CL CL");
}

static void under_attack_only_the_row_of_a_syn_differs(void)
{
    row_is(TCP_SYN, true, "SA ES ES SR SA SA SA SA SA SA SA");
    row_is(TCP_FIN, true, "CL FW SS TW FW TW CL CW LA LI TW");
    row_is(TCP_ACK, true, "ES ES SS ES FW TW CL CW CL LI ES");
    row_is(TCP_RST, true, "CL CL CL SR CL CL CL CL LA LI CL");
    row_is(0, true, "CL CL CL CL CL CL CL CL CL CL CL");
}

static void reset_goes_before_syn_before_fin_before_ack(void)
{
    for (int flags = 0; flags < 256; flags++) {
        uint8_t decisive = flags & TCP_RST   ? TCP_RST
                           : flags & TCP_SYN ? TCP_SYN
                           : flags & TCP_FIN ? TCP_FIN
                           : flags & TCP_ACK ? TCP_ACK
                                             : 0;
        for (int state = 0; state < DR_TCP_STATES; state++)
            CHECK(after(state, flags, false) == after(state, decisive, false));
    }
}

static void half_open_and_established_connections_are_active(void)
{
    for (int state = 0; state < DR_TCP_STATES; state++) {
        bool active = state == DR_TCP_ESTABLISHED || state == DR_TCP_SYN_SENT ||
                      state == DR_TCP_SYN_RECV || state == DR_TCP_SYNACK;
        CHECK(state_is_active(PROTOCOL_TCP, (uint8_t)state) == active);
    }
}

static void two_time_outs_are_settable_and_the_others_the_kernels(void)
{
    static const uint32_t seconds[DR_TCP_STATES] = {2, 7, 120, 60, 8, 120, 10, 60, 30, 120, 120};
    const struct dr_timeouts timeouts = {.tcp_s = 7, .tcp_fin_s = 8, .udp_s = 9};

    for (int state = 0; state < DR_TCP_STATES; state++)
        CHECK(state_timeout_s(PROTOCOL_TCP, (uint8_t)state, &timeouts) == seconds[state]);
    CHECK(state_timeout_s(PROTOCOL_UDP, 0, &timeouts) == 9);
}

static void a_datagram_has_no_state(void)
{
    const struct packet packet = {.flow.protocol = PROTOCOL_UDP, .tcp_flags = 0xff};

    CHECK(state_after(0, &packet, false) == 0);
    CHECK(!state_is_active(PROTOCOL_UDP, 0) && !state_is_established(PROTOCOL_UDP, 0));
}

/* ---- SCTP ---- */

static const char sctp_letters[DR_SCTP_STATES][3] = {
    "NO", "I1", "IN", "CS", "CR", "CW", "CO", "CE", "ES", "SS", "SR", "SA", "RJ", "CL",
};

static void sctp_row_is(uint8_t chunk, const char *row)
{
    const struct packet packet = {.flow.protocol = PROTOCOL_SCTP, .sctp_chunk = chunk};

    for (int state = 0; state < DR_SCTP_STATES; state++)
        CHECK(memcmp(sctp_letters[state_after((uint8_t)state, &packet, false)], row + state * 3,
                     2) == 0);
}

static void each_cell_of_sctp_is_the_kernels(void)
{
    /*              NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL */
    sctp_row_is(0, "ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL");
    sctp_row_is(1, "I1 IN IN IN IN IN CO CE ES SS SR SA IN IN");
    sctp_row_is(2, "CE CE CE CE CE CE CO CE ES SS SR SA RJ CL");
    sctp_row_is(10, "ES ES ES ES ES ES CO CE ES SS SR SA RJ CL");
    sctp_row_is(11, "ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL");
    sctp_row_is(7, "SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL");
    sctp_row_is(8, "CL IN IN CS CR CW CO CE CL CL SR CL RJ CL");
    sctp_row_is(14, "CL CL CL CL CL CW CO CE ES SS CL CL RJ CL");
    sctp_row_is(9, "CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL");
    sctp_row_is(6, "CL CL CL CL CL RJ CL CL CL CL CL CL CL CL");
}

static void chunks_that_mean_nothing_are_data(void)
{
    for (int chunk = 0; chunk < 256; chunk++) {
        const struct packet packet = {.flow.protocol = PROTOCOL_SCTP, .sctp_chunk = (uint8_t)chunk};
        bool has_event = (chunk >= 1 && chunk <= 2) || (chunk >= 6 && chunk <= 11) || chunk == 14;
        for (int state = 0; state < DR_SCTP_STATES; state++) {
            uint8_t next = state_after((uint8_t)state, &packet, false);
            CHECK(next < DR_SCTP_STATES);
            if (has_event)
                continue;
            bool establishes = state == DR_SCTP_NONE || state == DR_SCTP_C_WAIT;
            CHECK(next == (establishes ? DR_SCTP_ESTABLISHED : state));
        }
    }
}

static void an_abort_behind_a_cookie_is_an_abort(void)
{
    const struct packet cookie = {
        .flow.protocol = PROTOCOL_SCTP, .sctp_chunk = 10, .sctp_abort_follows = true};

    for (int state = 0; state < DR_SCTP_STATES; state++)
        CHECK(state_after((uint8_t)state, &cookie, false) ==
              (state == DR_SCTP_C_WAIT ? DR_SCTP_REJECTED : DR_SCTP_CLOSED));
}

static void only_an_established_association_is_active(void)
{
    static const uint32_t seconds[DR_SCTP_STATES] = {2,  4,   61, 61, 61, 61, 61,
                                                     61, 900, 61, 61, 61, 4,  61};
    const struct dr_timeouts timeouts = {.tcp_s = 7, .tcp_fin_s = 8, .udp_s = 9};

    for (int state = 0; state < DR_SCTP_STATES; state++) {
        bool established = state == DR_SCTP_ESTABLISHED;
        CHECK(state_is_active(PROTOCOL_SCTP, (uint8_t)state) == established);
        CHECK(state_is_established(PROTOCOL_SCTP, (uint8_t)state) == established);
        CHECK(state_timeout_s(PROTOCOL_SCTP, (uint8_t)state, &timeouts) == seconds[state]);
    }
}

int main(void)
{
    RUN(each_cell_is_the_kernels);
    RUN(under_attack_only_the_row_of_a_syn_differs);
    RUN(reset_goes_before_syn_before_fin_before_ack);
    RUN(half_open_and_established_connections_are_active);
    RUN(two_time_outs_are_settable_and_the_others_the_kernels);
    RUN(a_datagram_has_no_state);
    RUN(each_cell_of_sctp_is_the_kernels);
    RUN(chunks_that_mean_nothing_are_data);
    RUN(an_abort_behind_a_cookie_is_an_abort);
    RUN(only_an_established_association_is_active);
}
