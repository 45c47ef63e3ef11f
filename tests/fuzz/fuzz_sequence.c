/* fuzz_sequence.c -- bytes as a story: frames, changes of the table and jumps of the clock, on a
 * state so small that everything runs full. After each step the tables must agree. */
#include "dr.h"
#include "invariants.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct dr_limits limits = {.services = 3, .servers = 4, .connections = 12, .seed = 7};

/* The engine, and a second view of its region to look at the tables with. */
struct story {
    struct dr_engine *engine;
    struct director view;
    void *region;
    uint64_t now_ns;
    uint64_t frames;
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

static struct dr_service any_service(struct story *story)
{
    static const uint16_t ports[] = {80, 0, 21, 65535};
    uint8_t which = next(story);
    uint8_t how = next(story);
    uint8_t scheduler = next(story);
    struct dr_service service =
        service_on(which & 4 ? PROTOCOL_UDP : PROTOCOL_TCP, ports[which % 4], "rr");

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
    dr_apply(story->engine, changes, 2, story->now_ns);
}

static struct made any_packet(struct story *story)
{
    static const uint16_t client_ports[] = {1000, 1001, 0, 20, 65535};
    static const uint16_t ports[] = {80, 81, 21, 65535};
    uint8_t who = next(story);
    uint8_t where = next(story);
    struct made made = where & 8 ? udp_frame(0) : tcp_frame(0, next(story));
    uint16_t client_port = client_ports[who % 5];
    uint16_t port = ports[where % 4];

    made.bytes[14 + 15] = who >> 5;
    made.bytes[34] = (uint8_t)(client_port >> 8);
    made.bytes[35] = (uint8_t)client_port;
    made.bytes[36] = (uint8_t)(port >> 8);
    made.bytes[37] = (uint8_t)port;
    seal(&made);
    return made;
}

static struct made any_bytes(struct story *story)
{
    struct made made = frame_of_kind(next(story) % KINDS);

    made.bytes[next(story) % made.length] = next(story);
    made.length -= next(story) % 4;
    return made;
}

static void send(struct story *story, struct made made)
{
    uint8_t *block = exact(&made, made.length);
    struct dr_frame frame = {
        .data = block, .length = (uint32_t)made.length, .captured = (uint32_t)made.length};
    enum dr_verdict verdict = dr_forward(story->engine, &frame, story->now_ns);

    story->frames++;
    if (!verdict_sends(verdict))
        CHECK(memcmp(block, made.bytes, made.length) == 0);
    else if (verdict == DR_FORWARDED)
        CHECK(memcmp(block + 12, made.bytes + 12, made.length - 12) == 0);
    free(block);
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
    const struct dr_tuning tuning = {.conn_reuse_mode = bits & 3,
                                     .expire_nodest_conn = bits >> 2 & 1,
                                     .expire_quiescent_template = bits >> 3 & 1,
                                     .sloppy_tcp = bits >> 4 & 1,
                                     .secure_tcp = bits >> 5 & 3};

    dr_set_tuning(story->engine, &tuning);
}

static void go_on(struct story *story)
{
    switch (next(story) % 9) {
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
    default:
        send(story, any_packet(story));
        break;
    }
}

static void check_counters(struct story *story)
{
    struct dr_stats stats;
    uint64_t sum = 0;

    dr_read_stats(story->engine, &stats);
    for (int verdict = 0; verdict < DR_VERDICTS; verdict++)
        sum += stats.verdicts[verdict];
    CHECK(stats.frames == sum && stats.frames == story->frames);
    CHECK(stats.created - stats.expired == stats.connections);
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
