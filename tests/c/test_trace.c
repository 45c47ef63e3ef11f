/* test_trace.c -- what is told of a decision, to whom, and what is kept of frames dropped. */
#include <errno.h>

#include "journal.h"
#include "trace.h"
#include "world.h"

enum { ROOM = 8 };

static const uint8_t server_one[4] = {10, 9, 0, 11};

static struct world traced_world(const char *scheduler)
{
    struct world world = world_new(16);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, scheduler);

    world.director.trace = trace_new();
    CHECK(world.director.trace);
    add_service(&world, web);
    add_server(&world, web, 1, 1);
    add_server(&world, web, 2, 3);
    return world;
}

static void traced_world_free(struct world *world)
{
    trace_free(world->director.trace);
    world_free(world);
}

static struct dr_record record_of(struct world *world, struct made made)
{
    struct dr_record record;

    memset(&record, 0xee, sizeof(record));
    trace_next_into(&world->director, &record);
    world->director.frame++;
    CHECK(forward_made(world, &made, start_ns) == record.verdict);
    CHECK(record.frame == world->director.frame);
    CHECK(record.length == made.length && record.captured == made.length);
    CHECK(memcmp(record.bytes, made.bytes, made.length) == 0);
    CHECK(memcmp(record.before, made.bytes, 12) == 0);
    return record;
}

static bool is_server(const struct dr_record *record, uint8_t number)
{
    uint8_t address[ADDRESS];
    const uint8_t ip[4] = {10, 9, 0, (uint8_t)(10 + number)};

    map_address(address, ip);
    return record->has_server && memcmp(record->server, address, ADDRESS) == 0;
}

static void a_new_connection_tells_what_the_scheduler_saw_and_chose(void)
{
    struct world world = traced_world("wrr");
    struct dr_record record = record_of(&world, tcp_frame(1000, TCP_SYN));

    CHECK(record.verdict == DR_FORWARDED && record.by == DR_BY_SCHEDULER && record.sent);
    CHECK(record.has_service && record.service_port == 80);
    CHECK(record.candidate_count == 2 && record.chosen == 0 && is_server(&record, 2));
    CHECK(record.candidates[0].weight == 3 && record.candidates[1].weight == 1);
    CHECK(record.candidates[0].active == 0 && record.candidates[0].inactive == 0);
    CHECK(record.cursor_before == -1 && record.cursor_after == 0);
    CHECK(!record.connection_before && record.connection_after);
    CHECK(record.state_after == DR_TCP_SYN_RECV);
    CHECK(memcmp(record.after, server_mac, MAC) == 0);
    CHECK(memcmp(record.after + MAC, director_mac, MAC) == 0);
    traced_world_free(&world);
}

static void a_known_connection_tells_its_states(void)
{
    struct world world = traced_world("rr");

    record_of(&world, tcp_frame(1000, TCP_SYN));
    struct dr_record record = record_of(&world, tcp_frame(1000, TCP_ACK));
    CHECK(record.by == DR_BY_CONNECTION && record.has_service && record.candidate_count == 0);
    CHECK(record.connection_before && record.state_before == DR_TCP_SYN_RECV);
    CHECK(record.connection_after && record.state_after == DR_TCP_ESTABLISHED);
    traced_world_free(&world);
}

static void a_template_is_told_from_a_pick(void)
{
    struct world world = world_new(16);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");

    web.flags = DR_PERSISTENT;
    web.persistent_s = 300;
    world.director.trace = trace_new();
    add_service(&world, web);
    add_server(&world, web, 1, 1);
    CHECK(record_of(&world, tcp_frame(1000, TCP_SYN)).by == DR_BY_SCHEDULER);
    struct dr_record record = record_of(&world, tcp_frame(1001, TCP_SYN));
    CHECK(record.by == DR_BY_TEMPLATE && is_server(&record, 1) && record.candidate_count == 0);
    traced_world_free(&world);
}

static void no_server_is_told_with_all_that_were_looked_at(void)
{
    struct world world = traced_world("rr");
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");

    for (uint8_t number = 1; number <= 2; number++)
        CHECK(change(&world, DR_EDIT_SERVER, web, server_number(number, 80, 0), start_ns) == 0);
    struct dr_record record = record_of(&world, tcp_frame(1000, TCP_SYN));
    CHECK(record.verdict == DR_NO_SERVER && record.by == DR_BY_SCHEDULER);
    CHECK(!record.has_server && record.candidate_count == 2 && record.chosen == -1);
    traced_world_free(&world);
}

static void frames_that_nobody_serves_are_told_too(void)
{
    struct world world = traced_world("rr");
    struct dr_record record = record_of(&world, tcp_frame(1000, TCP_ACK));

    CHECK(record.verdict == DR_NO_CONNECTION && record.by == DR_BY_NOTHING);
    CHECK(record.parsed == DR_PARSED_PORTS && record.client_port == 1000 && !record.sent);
    record = record_of(&world, arp_frame(1, client_ip, vip));
    CHECK(record.verdict == DR_ANSWERED && record.parsed == DR_PARSED_ARP && record.sent);
    record = record_of(&world, echo_frame());
    CHECK(record.verdict == DR_ECHO_ANSWERED && record.by == DR_BY_NOTHING);
    CHECK(record.parsed == DR_PARSED_ADDRESSES && record.client_port == 0);
    traced_world_free(&world);
}

static void any_kind_of_frame_has_a_record(void)
{
    struct world world = world_new(16);

    furnish(&world);
    world.director.trace = trace_new();
    for (int kind = 0; kind < KINDS; kind++)
        record_of(&world, frame_of_kind(kind));
    traced_world_free(&world);
}

/* ---- Watchers ---- */

static struct dr_trace *watch(struct world *world, struct dr_trace_filter filter)
{
    struct dr_trace *watcher = NULL;

    CHECK(trace_open(&world->director, &watcher, &filter, ROOM) == 0);
    return watcher;
}

/* Opens 10 connections from as many ports, with an unknown frame after each. */
static void talk(struct world *world, uint64_t now_ns)
{
    for (unsigned port = 1000; port < 1010; port++) {
        struct made syn = tcp_frame(port, TCP_SYN), ack = tcp_frame(port + 100, TCP_ACK);
        forward_made(world, &syn, now_ns);
        forward_made(world, &ack, now_ns);
    }
}

static size_t seen_by(struct dr_trace *watcher, struct dr_trace_losses *losses)
{
    struct dr_record records[ROOM];
    uint64_t cursor = 0;

    return watcher_read(watcher, &cursor, records, ROOM, losses);
}

static size_t seen_with(struct dr_trace_filter filter)
{
    struct world world = traced_world("wrr");
    struct dr_trace *watcher = watch(&world, filter);
    struct dr_trace_losses losses = {0};

    talk(&world, start_ns);
    size_t seen = seen_by(watcher, &losses);
    CHECK(losses.limited == 0);
    traced_world_free(&world);
    return seen + (size_t)losses.overwritten;
}

static void filters_hold_for_what_they_name(void)
{
    struct dr_trace_filter filter = {.client_prefix = 128, .has_address = 1, .port = 80};

    map_address(filter.client, client_ip);
    map_address(filter.address, vip);
    CHECK(seen_with((struct dr_trace_filter){0}) == 20);
    CHECK(seen_with(filter) == 20);
    filter.client_prefix = 96 + 15; /* 10.1.0.1 is in 10.0.0.0/15, and not in 10.0.0.0/16 */
    filter.client[13] = 0;
    CHECK(seen_with(filter) == 20);
    filter.client_prefix++;
    CHECK(seen_with(filter) == 0);
    filter.client_prefix--;
    filter.port = 81;
    CHECK(seen_with(filter) == 0);
    CHECK(seen_with((struct dr_trace_filter){.protocol = PROTOCOL_UDP}) == 0);
    CHECK(seen_with((struct dr_trace_filter){.client_prefix = 1}) == 20);
    CHECK(seen_with((struct dr_trace_filter){.client_prefix = 97}) == 0);
    CHECK(seen_with((struct dr_trace_filter){.client = {0x80}, .client_prefix = 1}) == 0);
    CHECK(seen_with((struct dr_trace_filter){.first_only = 1}) == 10);
    CHECK(seen_with((struct dr_trace_filter){.verdicts = 1u << DR_NO_CONNECTION}) == 10);
    CHECK(seen_with((struct dr_trace_filter){.verdicts = 1u << DR_NO_SERVICE}) == 0);
    CHECK(seen_with((struct dr_trace_filter){.every = 5}) == 4);
    struct dr_trace_filter of_one = {.has_server = 1};
    map_address(of_one.server, server_one);
    /* 2 1, then 2 2 2 1 twice: wrr goes on from the weight of the server that came first. */
    CHECK(seen_with(of_one) == 3);
}

static void a_slow_reader_is_told_what_it_missed(void)
{
    struct world world = traced_world("rr");
    struct dr_trace *watcher = watch(&world, (struct dr_trace_filter){0});
    struct dr_record records[ROOM];
    struct dr_trace_losses losses = {0};
    uint64_t cursor = 0;

    talk(&world, start_ns);
    CHECK(watcher_read(watcher, &cursor, records, ROOM, &losses) == ROOM);
    CHECK(losses.overwritten == 20 - ROOM && cursor == 20);
    CHECK(records[ROOM - 1].client_port == 1109 && records[ROOM - 2].client_port == 1009);
    CHECK(watcher_read(watcher, &cursor, records, ROOM, &losses) == 0);
    CHECK(losses.overwritten == 20 - ROOM);
    traced_world_free(&world);
}

static void so_many_records_a_second_and_no_more(void)
{
    struct world world = traced_world("rr");
    struct dr_trace *watcher = watch(&world, (struct dr_trace_filter){.per_s = 3});
    struct dr_trace_losses losses = {0};

    talk(&world, start_ns);
    CHECK(seen_by(watcher, &losses) == 3);
    CHECK(losses.limited == 17 && losses.overwritten == 0);
    talk(&world, start_ns + second_ns);
    CHECK(seen_by(watcher, &losses) == 6);
    CHECK(losses.limited == 34);
    traced_world_free(&world);
}

static void a_few_may_watch_at_once_and_leave_when_they_like(void)
{
    struct world world = traced_world("rr");
    struct dr_trace *watchers[DR_TRACES], *another;
    struct dr_trace_filter all = {0};
    struct dr_trace_losses losses = {0};

    for (int i = 0; i < DR_TRACES; i++)
        watchers[i] = watch(&world, (struct dr_trace_filter){.every = 5 * (uint32_t)(i + 1)});
    CHECK(trace_open(&world.director, &another, &all, ROOM) == -EMFILE);
    talk(&world, start_ns);
    CHECK(seen_by(watchers[0], &losses) == 4 && seen_by(watchers[3], &losses) == 1);
    trace_close(&world.director, watchers[0]);
    CHECK(trace_open(&world.director, &another, &all, 3) == -EINVAL);
    CHECK(trace_open(&world.director, &another, &all, ROOM) == 0);
    CHECK(world.director.tracing == DR_TRACES);
    traced_world_free(&world);
}

/* ---- The flight recorder ---- */

static void the_last_frames_dropped_for_each_reason_are_kept(void)
{
    struct world world = traced_world("rr");
    struct dr_record records[DR_DROPS_KEPT + 1];

    for (int i = 0; i < 3; i++)
        talk(&world, start_ns);
    size_t kept =
        trace_read_drops(world.director.trace, DR_NO_CONNECTION, records, DR_DROPS_KEPT + 1);
    CHECK(kept == DR_DROPS_KEPT);
    CHECK(records[kept - 1].client_port == 1109 && records[0].client_port == 1104);
    CHECK(records[0].verdict == DR_NO_CONNECTION && records[0].candidate_count == 0);
    for (int verdict = 0; verdict < DR_VERDICTS; verdict++)
        if (verdict != DR_NO_CONNECTION)
            CHECK(trace_read_drops(world.director.trace, (enum dr_verdict)verdict, records, 1) ==
                  0);
    traced_world_free(&world);
}

/* An ICMP error takes the frame's place, and it is the frame that is kept. */
static void a_frame_that_was_answered_with_an_error_is_kept_as_it_came(void)
{
    struct world world = world_new(16);
    struct made syn = tcp_frame(1000, TCP_SYN);
    struct dr_record record;

    world.director.trace = trace_new();
    add_service(&world, service_on(PROTOCOL_TCP, 80, "rr"));
    CHECK(forward_made(&world, &syn, start_ns) == DR_NO_SERVER);
    CHECK(trace_read_drops(world.director.trace, DR_NO_SERVER, &record, 1) == 1);
    CHECK(record.length == syn.length && memcmp(record.bytes, syn.bytes, syn.length) == 0);
    traced_world_free(&world);
}

static void a_long_frame_is_kept_in_part(void)
{
    struct world world = traced_world("rr");
    uint8_t bytes[1514] = {0};
    struct made made = tcp_frame(1000, TCP_ACK);
    struct dr_frame frame = {.data = bytes, .length = sizeof(bytes), .captured = sizeof(bytes)};
    struct dr_record record;

    memcpy(bytes, made.bytes, made.length);
    CHECK(forward(&world.director, &frame, start_ns) == DR_NO_CONNECTION);
    CHECK(trace_read_drops(world.director.trace, DR_NO_CONNECTION, &record, 1) == 1);
    CHECK(record.length == sizeof(bytes) && record.captured == DR_RECORD_BYTES);
    traced_world_free(&world);
}

int main(void)
{
    RUN(a_new_connection_tells_what_the_scheduler_saw_and_chose);
    RUN(a_known_connection_tells_its_states);
    RUN(a_template_is_told_from_a_pick);
    RUN(no_server_is_told_with_all_that_were_looked_at);
    RUN(frames_that_nobody_serves_are_told_too);
    RUN(any_kind_of_frame_has_a_record);
    RUN(filters_hold_for_what_they_name);
    RUN(a_slow_reader_is_told_what_it_missed);
    RUN(so_many_records_a_second_and_no_more);
    RUN(a_few_may_watch_at_once_and_leave_when_they_like);
    RUN(the_last_frames_dropped_for_each_reason_are_kept);
    RUN(a_frame_that_was_answered_with_an_error_is_kept_as_it_came);
    RUN(a_long_frame_is_kept_in_part);
}
