/* test_explain.c -- addresses as people write them, a sentence for every verdict, flows that moved.
 */
#include "explain.h"
#include "flows.h"
#include "packet.h"
#include "test.h"
#include "text.h"

#include <string.h>

static const uint8_t one[16] = {[10] = 0xff, [11] = 0xff, 10, 9, 0, 11};
static const uint8_t two[16] = {[10] = 0xff, [11] = 0xff, 10, 9, 0, 12};

static void check_address(const uint8_t address[16], const char *expected)
{
    char bytes[64] = {0};
    struct text text = {.bytes = bytes, .room = sizeof(bytes) - 1};

    text_address(&text, address);
    CHECK(strcmp(bytes, expected) == 0);
}

static void addresses_are_written_as_rfc_5952_has_them(void)
{
    check_address(one, "10.9.0.11");
    check_address((uint8_t[16]){0}, "::");
    check_address((uint8_t[16]){[15] = 1}, "::1");
    check_address((uint8_t[16]){0xfd, 0x77, [15] = 0x62}, "fd77::62");
    check_address((uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, [7] = 1, [15] = 1}, "2001:db8:0:1::1");
    check_address((uint8_t[16]){0x20, 1, [4] = 1, [6] = 1, [8] = 1, [10] = 1, [12] = 1, [15] = 9},
                  "2001:0:100:100:100:100:100:9");
    check_address((uint8_t[16]){[1] = 1, [5] = 1, [15] = 1}, "1:0:1::1");
}

static void what_does_not_fit_is_cut_off(void)
{
    char bytes[8] = "#######";
    struct text text = {.bytes = bytes, .room = 5};

    text_add(&text, "port ");
    text_number(&text, 65535);
    CHECK(text.length == 5 && strcmp(bytes, "port ##") == 0);
}

static size_t explained(const struct dr_record *record, char out[512])
{
    memset(out, 0, 512);
    return explain(record, out, 511);
}

static void every_verdict_has_its_sentence(void)
{
    char sentence[512];

    for (int verdict = 0; verdict < DR_VERDICTS; verdict++) {
        struct dr_record record = {.verdict = (uint8_t)verdict, .chosen = -1};
        size_t length = explained(&record, sentence);
        CHECK(length > 20 && sentence[length - 1] == '.');
    }
}

static struct dr_record scheduled(void)
{
    struct dr_record record = {
        .verdict = DR_FORWARDED,
        .by = DR_BY_SCHEDULER,
        .has_server = 1,
        .sent = 1,
        .protocol = PROTOCOL_TCP,
        .connection_after = 1,
        .state_after = DR_TCP_SYN_RECV,
        .after = {2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 1},
        .chosen = 1,
        .candidate_count = 2,
        .candidates = {{.weight = 1}, {.weight = 3, .active = 4, .inactive = 5}},
    };

    memcpy(record.server, one, 16);
    return record;
}

static void a_choice_is_told_with_what_it_was_made_from(void)
{
    char sentence[512];
    struct dr_record record = scheduled();

    explained(&record, sentence);
    CHECK(strstr(sentence, "chose 10.9.0.11 (weight 3, 4 active and 5 inactive connections) out of "
                           "2 real servers"));
    CHECK(strstr(sentence, "its state becomes SYN_RECV."));
    CHECK(strstr(sentence, "02:00:00:00:00:0b (the real server's)"));
    CHECK(strstr(sentence, "nothing above Ethernet changes"));
}

static void a_server_that_is_this_host_is_told(void)
{
    char sentence[512];
    struct dr_record record = scheduled();

    memset(record.after, 0, sizeof(record.after));
    explained(&record, sentence);
    CHECK(strstr(sentence, "this host") && !strstr(sentence, "destination MAC"));
}

static void a_sentence_is_cut_off_at_its_room(void)
{
    struct dr_record record = scheduled();

    for (size_t room = 0; room < 200; room++) {
        char *exact = malloc(room ? room : 1);
        CHECK(exact);
        CHECK(explain(&record, exact, room) == room);
        free(exact);
    }
}

static struct dr_record of_flow(uint16_t client_port, const uint8_t server[16])
{
    struct dr_record record = {.client_port = client_port, .port = 80, .protocol = PROTOCOL_TCP};

    memcpy(record.server, server, 16);
    return record;
}

static void a_flow_that_moves_is_noticed_and_others_are_not(void)
{
    struct flows flows;
    uint8_t before[16];

    CHECK(flows_open(&flows, 3) < 0);
    CHECK(flows_open(&flows, 64) == 0);
    struct dr_record first = of_flow(1000, one), other = of_flow(1001, two);
    struct dr_record moved = of_flow(1000, two);
    CHECK(!flows_note(&flows, &first, before));
    CHECK(!flows_note(&flows, &other, before));
    CHECK(!flows_note(&flows, &first, before));
    CHECK(flows_note(&flows, &moved, before) && memcmp(before, one, 16) == 0);
    CHECK(!flows_note(&flows, &moved, before));
    CHECK(flows.known == 2 && flows.forgotten == 0);
    flows_close(&flows);
}

static void a_full_set_forgets_and_says_so(void)
{
    struct flows flows;
    uint8_t before[16];

    CHECK(flows_open(&flows, 4) == 0);
    for (uint16_t port = 1; port <= 6; port++) {
        struct dr_record record = of_flow(port, one);
        CHECK(!flows_note(&flows, &record, before));
    }
    CHECK(flows.known == 6 && flows.forgotten == 2);
    flows_close(&flows);
}

int main(void)
{
    RUN(addresses_are_written_as_rfc_5952_has_them);
    RUN(what_does_not_fit_is_cut_off);
    RUN(every_verdict_has_its_sentence);
    RUN(a_choice_is_told_with_what_it_was_made_from);
    RUN(a_server_that_is_this_host_is_told);
    RUN(a_sentence_is_cut_off_at_its_room);
    RUN(a_flow_that_moves_is_noticed_and_others_are_not);
    RUN(a_full_set_forgets_and_says_so);
    return 0;
}
