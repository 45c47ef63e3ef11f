/* fuzz_sequence.c -- bytes as a story: frames, changes of the table and jumps of the clock, on a
 * state so small that everything runs full. After each step the tables must agree. */
#include "dr.h"
#include "expect.h"
#include "invariants.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct dr_limits limits = {
    .services = 4, .servers = 4, .connections = 12, .fragments = 4, .seeds = {0x5eed7, 0x7deed}};

/* The engine, and a second view of its region to look at the tables with. */
struct story {
    struct dr_engine *engine;
    struct director view;
    void *region;
    uint64_t now_ns;
    uint64_t frames;
    bool decrements;
    const uint8_t *data;
    size_t left;
};

static uint8_t next(struct story *story)
{
    if (story->left == 0)
        return 0;
    story->left--;
    return *story->data++;
}

enum which { OVER_UDP = 4, OVER_SCTP = 8, OVER_IPV6 = 16, BY_MARK = 32 };

/* The name of a mark's service is the mark, as an address. */
static void name_by_mark(struct dr_service *service, bool is_ipv6)
{
    memset(service->address, 0, ADDRESS);
    if (!is_ipv6)
        service->address[10] = service->address[11] = 0xff;
    service->address[15] = 7;
    service->protocol = PROTOCOL_ANY;
    service->port = 0;
}

static struct dr_service any_service(struct story *story)
{
    static const uint16_t ports[] = {80, 0, 21, 65535};
    uint8_t which = next(story);
    uint8_t how = next(story);
    uint8_t scheduler = next(story);
    uint8_t protocol = which & OVER_SCTP  ? PROTOCOL_SCTP
                       : which & OVER_UDP ? PROTOCOL_UDP
                                          : PROTOCOL_TCP;
    struct dr_service service = which & OVER_IPV6 ? service6_on(protocol, ports[which % 4], "rr")
                                                  : service_on(protocol, ports[which % 4], "rr");

    if (which & BY_MARK)
        name_by_mark(&service, which & OVER_IPV6);
    service.scheduler = scheduler_of(scheduler) ? scheduler : scheduler % 4;
    if (how & 4)
        service.flags |= DR_PERSISTENT;
    service.persistent_s = how & 8 ? 10 : 300;
    if (how & 16)
        service.mask[15] = 0;
    if (how & 32)
        service.flags |= DR_ONE_PACKET;
    return service;
}

static struct dr_server any_server(struct story *story, uint16_t port)
{
    uint8_t which = next(story);
    struct dr_server server = server_number(which % 6, port, which >> 4);
    uint8_t thresholds = next(story);

    uint8_t drain = thresholds >> 3 & 3;
    server.drain = drain == DR_DRAIN_NONE ? DR_DRAIN_NONE : drain + (which >> 7);
    server.upper = thresholds & 7;
    server.lower = thresholds >> 5;
    return server;
}

static void change_the_table(struct story *story)
{
    struct dr_change changes[2] = {{.operation = (enum dr_operation)(next(story) % 6)},
                                   {.operation = DR_SET_MAC}};

    changes[0].service = any_service(story);
    changes[0].server = any_server(story, changes[0].service.port);
    changes[1].server = changes[0].server;
    memcpy(changes[1].mac, server_mac, MAC);
    dr_apply(story->engine, changes, 2, 0, story->now_ns);
}

enum where { TO_UDP = 8, TO_SCTP = 16, TO_IPV6 = 32, FIRST_FRAGMENT = 64, LATER_FRAGMENT = 128 };

static void write_ports(uint8_t *ports, uint8_t who, uint8_t where)
{
    static const uint16_t client_ports[] = {1000, 1001, 0, 20, 65535};
    static const uint16_t server_ports[] = {80, 81, 21, 65535};

    write16(ports, client_ports[who % 5]);
    write16(ports + 2, server_ports[where % 4]);
}

static struct made any_packet6(uint8_t who, uint8_t where, uint8_t what)
{
    struct made made = where & FIRST_FRAGMENT   ? first_fragment6()
                       : where & LATER_FRAGMENT ? later_fragment6()
                       : where & TO_UDP         ? udp6_frame(0)
                                                : tcp6_frame(0, what);

    made.bytes[14 + 8 + 15] = who >> 5;
    if (where & FIRST_FRAGMENT)
        write_ports(made.bytes + 14 + 48, who, where);
    else if (!(where & LATER_FRAGMENT))
        write_ports(made.bytes + 14 + 40, who, where);
    return made;
}

static struct made any_packet(struct story *story)
{
    uint8_t who = next(story);
    uint8_t where = next(story);
    uint8_t what = next(story);

    if (where & TO_IPV6)
        return any_packet6(who, where, what);
    struct made made = where & TO_UDP    ? udp_frame(0)
                       : where & TO_SCTP ? sctp_frame(0, what & 15, what >> 4)
                                         : tcp_frame(0, what);
    if (where & FIRST_FRAGMENT)
        made.bytes[14 + 6] = 0x20;
    else if (where & LATER_FRAGMENT)
        made.bytes[14 + 7] = 1;
    made.bytes[14 + 8] = what;
    made.bytes[14 + 15] = who >> 5;
    write_ports(made.bytes + 14 + 20, who, where);
    seal(&made);
    return made;
}

static struct made any_error(struct story *story)
{
    static const uint16_t client_ports[] = {1000, 1001, 0, 20};
    uint8_t which = next(story);
    uint16_t client_port = client_ports[which % 4];

    return which & 4 ? icmp6_error(which >> 3, client_port) : icmp_error(which >> 3, client_port);
}

static struct made any_bytes(struct story *story)
{
    struct made made = frame_of_kind(next(story) % KINDS);

    made.bytes[next(story) % made.length] = next(story);
    made.length -= next(story) % 4;
    return made;
}

static void check_counters(struct story *story)
{
    struct dr_stats stats;
    uint64_t sum = 0;

    dr_read_stats(story->engine, &stats, NULL);
    for (int verdict = 0; verdict < DR_VERDICTS; verdict++)
        sum += stats.verdicts[verdict];
    CHECK(stats.frames == sum && stats.frames == story->frames);
    CHECK(stats.created - stats.expired == stats.connections);
}

static void send_held(struct story *story)
{
    struct dr_frame held;
    int count = 0;

    while (dr_forward_held(story->engine, &held, story->now_ns)) {
        CHECK(held.length > 0 && held.captured == held.length);
        CHECK(++count <= 4);
        check_counters(story);
    }
}

static void send(struct story *story, struct made made)
{
    uint8_t *block = exact(&made, made.length);
    struct dr_frame frame = frame_around(block, &made);
    enum dr_verdict verdict = dr_forward(story->engine, &frame, story->now_ns);

    story->frames++;
    expect(made.bytes, block, made.length, &frame, verdict, story->decrements);
    free(block);
    send_held(story);
    check_timers(&story->view.connections, tick_of(story->now_ns));
}

/* The loop never sleeps for long, and never for more than the 417 days that ticks can tell apart.
 */
static void move_the_clock(struct story *story)
{
    static const uint32_t jumps_ms[] = {0,      16,       300,        1000,   3000,    10000,
                                        60000,  120000,   300000,     900000, 1099000, 1100000,
                                        120500, 86400000, 2678400000, 999};

    story->now_ns += jumps_ms[next(story) % 16] * UINT64_C(1000000);
    send(story, (struct made){.length = 0});
}

static void set_the_timeouts(struct story *story)
{
    const struct dr_timeouts timeouts = {
        .tcp_s = next(story), .tcp_fin_s = next(story), .udp_s = next(story)};

    dr_set_timeouts(story->engine, &timeouts);
}

static void tune(struct story *story)
{
    uint8_t bits = next(story);
    uint8_t more = next(story);
    const struct dr_tuning tuning = {
        .conn_reuse_mode = bits & 3,
        .expire_nodest_conn = bits >> 2 & 1,
        .expire_quiescent_template = bits >> 3 & 1,
        .sloppy_tcp = bits >> 4 & 1,
        .secure_tcp = bits >> 5 & 3,
        .sloppy_sctp = bits >> 7,
        .decrement_ttl = more & 1,
        .schedule_icmp = more >> 1 & 1,
        .icmp_ratelimit = (uint16_t)((more >> 2 & 15) * 100),
        .drop_entry = more & 64 ? 3 : 0,
        .drop_packet = more & 128 ? 3 : 0,
        .am_droprate = 2,
    };

    dr_set_tuning(story->engine, &tuning);
    story->decrements = tuning.decrement_ttl;
}

static void set_the_marks(struct story *story)
{
    struct dr_mark marks[3];
    size_t count = next(story) % 4;

    for (size_t i = 0; i < count; i++) {
        uint8_t which = next(story);
        uint8_t port = next(story);
        marks[i] = (struct dr_mark){
            .prefix = which & 1 ? 128 : 120,
            .protocol = which & 2 ? PROTOCOL_ANY : PROTOCOL_TCP,
            .first_port = port,
            .last_port = which & 4 ? 65535 : port,
            .mark = which & 8 ? 7 : 8,
        };
        if (which & 16)
            memcpy(marks[i].address, vip6, ADDRESS);
        else
            map_address(marks[i].address, vip);
    }
    CHECK(dr_set_marks(story->engine, marks, count) == 0);
}

static void set_the_identity(struct story *story)
{
    uint8_t which = next(story);
    struct dr_identity identity = {.mtu = which & 1 ? 1500 : 60, .vlan = which & 2 ? 7 : 0};

    memcpy(identity.mac, director_mac, MAC);
    dr_set_identity(story->engine, &identity);
}

static void go_on(struct story *story)
{
    switch (next(story) % 12) {
    case 0:
        change_the_table(story);
        break;
    case 1:
        move_the_clock(story);
        break;
    case 2:
        set_the_timeouts(story);
        break;
    case 3:
        send(story, any_bytes(story));
        break;
    case 8:
        tune(story);
        break;
    case 9:
        set_the_marks(story);
        break;
    case 10:
        set_the_identity(story);
        break;
    case 11:
        send(story, any_error(story));
        break;
    default:
        send(story, any_packet(story));
        break;
    }
}

static void begin(struct story *story)
{
    const struct dr_identity identity = {.mac = {0x02, 0, 0x5e, 0, 0, 0x64}, .mtu = 1500};
    size_t bytes = dr_state_size(&limits);

    story->region = calloc(1, bytes);
    CHECK(story->region);
    CHECK(dr_engine_new(&story->engine, story->region, bytes, &limits, story->now_ns) == 0);
    CHECK(state_map(&story->view, story->region, bytes, &limits, story->now_ns) == STATE_ADOPTED);
    dr_set_identity(story->engine, &identity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct story story = {.now_ns = start_ns, .data = data, .left = size};

    begin(&story);
    while (story.left > 0) {
        go_on(&story);
        check_entries(&story.view.connections);
        check_templates(&story.view.connections);
        check_servers(&story.view.connections, &story.view.table);
        check_lists(&story.view.table);
    }
    check_all(&story.view.connections, &story.view.table);
    check_counters(&story);
    dr_engine_free(story.engine);
    free(story.region);
    return 0;
}
