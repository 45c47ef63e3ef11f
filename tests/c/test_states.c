/* test_states.c -- the kernel's input-only table, cell by cell, and what follows from a state. */
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

static void row_is(uint8_t flags, bool secure, const char *row)
{
    for (int state = 0; state < DR_TCP_STATES; state++)
        CHECK(state_after((enum dr_tcp_state)state, flags, secure) == named(row + state * 3));
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
            CHECK(state_after((enum dr_tcp_state)state, (uint8_t)flags, false) ==
                  state_after((enum dr_tcp_state)state, decisive, false));
    }
}

static void half_open_and_established_connections_are_active(void)
{
    for (int state = 0; state < DR_TCP_STATES; state++) {
        bool active = state == DR_TCP_ESTABLISHED || state == DR_TCP_SYN_SENT ||
                      state == DR_TCP_SYN_RECV || state == DR_TCP_SYNACK;
        CHECK(state_is_active((enum dr_tcp_state)state) == active);
    }
}

static void two_time_outs_are_settable_and_the_others_the_kernels(void)
{
    static const uint32_t seconds[DR_TCP_STATES] = {2, 7, 120, 60, 8, 120, 10, 60, 30, 120, 120};
    const struct dr_timeouts timeouts = {.tcp_s = 7, .tcp_fin_s = 8, .udp_s = 9};

    for (int state = 0; state < DR_TCP_STATES; state++)
        CHECK(state_timeout_s((enum dr_tcp_state)state, &timeouts) == seconds[state]);
}

int main(void)
{
    RUN(each_cell_is_the_kernels);
    RUN(under_attack_only_the_row_of_a_syn_differs);
    RUN(reset_goes_before_syn_before_fin_before_ack);
    RUN(half_open_and_established_connections_are_active);
    RUN(two_time_outs_are_settable_and_the_others_the_kernels);
}
