/* core.c -- the core without sockets: loops for core.py, which has them timed.
 *
 * What is timed works on ROUND frames that core_prepare() made before, and that lie one behind the
 * other as in a ring. Flows come at random where they are to be found, as clients do, and in a row
 * where they are new. Loops return how many operations went as they should. */
#include <stdlib.h>
#include <sys/mman.h>

#include "changes.h"
#include "forward.h"
#include "frames.h"
#include "schedulers/schedulers.h"
#include "state.h"
#include "trace.h"

enum {
    ROUND = 65536, /* operations of a loop; core.py knows it too */
    BATCH = 64,    /* as the engine's */
    AHEAD = 4,
    SLOT = 64,    /* bytes a frame */
    CHUNK = 4096, /* frames prepared at a time while the table is filled */
    HUGE_PAGE = 2 * 1024 * 1024,
};

#pragma GCC visibility push(default) /* what is in this file is for core.py */

static const uint64_t ever_ns = UINT64_C(3600000000000); /* no time-out is longer */

static const uint8_t mac[6] = {0, 0, 0x5e, 0, 1, 60};

struct core {
    struct director director;
    uint8_t answer[ANSWER_ROOM];
    void *region;
    struct service *service;
    uint64_t now_ns;
    uint32_t random;
    uint8_t (*frames)[SLOT];
    struct flow *flows;
};

/* xorshift32 (Marsaglia 2003), and Lemire's way to a number below a bound. */
static uint32_t random_below(struct core *core, uint32_t bound)
{
    core->random ^= core->random << 13;
    core->random ^= core->random >> 17;
    core->random ^= core->random << 5;
    return (uint32_t)((uint64_t)core->random * bound >> 32);
}

/* 10.10.0.0 and on. */
static void set_address(uint8_t address[ADDRESS], uint16_t host)
{
    const uint8_t mapped[ADDRESS] = {[10] = 0xff, [11] = 0xff,          10,
                                     10,          (uint8_t)(host >> 8), (uint8_t)host};

    memcpy(address, mapped, ADDRESS);
}

static void change(struct core *core, struct dr_change *change)
{
    if (table_change(&core->director.table, change, 0) < 0)
        abort();
}

static void add_servers(struct core *core, const char *scheduler, uint32_t servers)
{
    struct dr_change it = {
        .operation = DR_ADD_SERVICE,
        .service = {.port = 80, .protocol = PROTOCOL_TCP},
        .mac = {2, 0, 0, 0, 0, 11},
    };

    set_address(it.service.address, 10 << 8 | 60);
    it.service.scheduler = (uint8_t)scheduler_find(scheduler);
    change(core, &it);
    it.operation = DR_ADD_SERVER;
    for (uint32_t i = 0; i < servers; i++) {
        it.server = (struct dr_server){.port = 80, .weight = 1 + i % 5};
        set_address(it.server.address, (uint16_t)(11 * 256 + i));
        change(core, &it);
    }
    core->service = table_find_service(&core->director.table, PROTOCOL_TCP, it.service.address, 80);
}

/* All pages are touched here: that they are new is not what is measured. */
static void *memory_of(size_t bytes, bool huge)
{
    void *memory = NULL;

    if (posix_memalign(&memory, HUGE_PAGE, bytes))
        abort();
    if (huge)
        madvise(memory, bytes, MADV_HUGEPAGE); /* where it is not allowed, it is not to be had */
    memset(memory, 0, bytes);
    return memory;
}

struct core *core_new(uint32_t connections, const char *scheduler, uint32_t servers, int huge)
{
    const struct dr_limits limits = {.services = 16,
                                     .servers = 16384,
                                     .connections = connections,
                                     .seeds = {0x5eed0123456789ab, 0xfedcba9876540123},
                                     .clock = 1};
    struct core *core = calloc(1, sizeof(*core));
    size_t size = state_size(&limits);

    if (!core)
        abort();
    core->region = memory_of(size, huge);
    core->frames = memory_of((ROUND + AHEAD) * sizeof(*core->frames), true);
    core->flows = memory_of(ROUND * sizeof(*core->flows), true);
    core->now_ns = ever_ns;
    state_map(&core->director, core->region, size, &limits, core->now_ns);
    if (table_open(&core->director.table) < 0)
        abort();
    memcpy(core->director.identity.mac, mac, sizeof(mac));
    core->director.identity.mtu = 1500;
    core->director.answer = core->answer;
    core->random = 2463534242;
    add_servers(core, scheduler, servers);
    return core;
}

void core_free(struct core *core)
{
    table_close(&core->director.table);
    trace_free(core->director.trace);
    free(core->region);
    free(core->frames);
    free(core->flows);
    free(core);
}

/* The flight recorder, as every director has it. */
void core_can_trace(struct core *core)
{
    core->director.trace = trace_new();
    if (!core->director.trace)
        abort();
}

/* Somebody watches one frame in so many, at most so many a second; 0: all. The clock stands. */
void core_watch(struct core *core, uint32_t every, uint32_t per_s)
{
    const struct dr_trace_filter filter = {.every = every, .per_s = per_s};
    struct dr_trace *watcher;

    if (trace_open(&core->director, &watcher, &filter, 4096) < 0)
        abort();
}

/* ---- Before it is timed ---- */

static void prepare(struct core *core, uint32_t at, uint32_t flow, uint8_t tcp_flags)
{
    struct packet packet;

    frame_init(core->frames[at], mac);
    frame_set_flow(core->frames[at], flow, tcp_flags);
    if (packet_parse(core->frames[at], FRAME, &packet) != PACKET_TRANSPORT)
        abort();
    core->flows[at] = packet.flow;
}

/* Flows `first` and on, in a row. */
void core_prepare_new(struct core *core, uint32_t first)
{
    for (uint32_t i = 0; i < ROUND; i++)
        prepare(core, i, first + i, FRAME_SYN);
}

/* Any of the `flows` from `first` on, in mid-stream. */
void core_prepare(struct core *core, uint32_t first, uint32_t flows)
{
    for (uint32_t i = 0; i < ROUND; i++)
        prepare(core, i, first + random_below(core, flows), FRAME_ACK);
}

/* ---- What is timed ---- */

uint32_t core_parse(struct core *core)
{
    struct packet packet;
    uint32_t fine = 0;

    for (uint32_t i = 0; i < ROUND; i++)
        fine += packet_parse(core->frames[i], FRAME, &packet) == PACKET_TRANSPORT;
    return fine;
}

/* Returns how many were there. */
uint32_t core_find(struct core *core)
{
    const struct connections *connections = &core->director.connections;
    uint32_t hashes[BATCH];
    uint32_t found = 0;

    for (uint32_t at = 0; at < ROUND; at += BATCH) {
        const struct flow *flows = core->flows + at;
        for (uint32_t i = 0; i < BATCH; i++) {
            hashes[i] = connections_hash(connections, &flows[i]);
            connections_fetch_bucket(connections, hashes[i]);
        }
        for (uint32_t i = 0; i < BATCH; i++)
            connections_fetch_entry(connections, hashes[i]);
        for (uint32_t i = 0; i < BATCH; i++)
            connections_fetch_next(connections, &flows[i], hashes[i]);
        for (uint32_t i = 0; i < BATCH; i++)
            found += connections_find_hashed(connections, &flows[i], hashes[i]) != NULL;
    }
    return found;
}

/* As the loop decides: it looks at all of a batch, and has the memory fetched that decisions will
 * need, before it makes them. Returns how many were forwarded. */
static uint32_t decide(struct core *core, uint32_t operations)
{
    struct director *director = &core->director;
    struct dr_frame frames[BATCH];
    struct look looks[BATCH];
    uint32_t forwarded = 0;

    for (uint32_t at = 0; at < operations; at += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            frames[i] =
                (struct dr_frame){.data = core->frames[at + i], .length = FRAME, .captured = FRAME};
            __builtin_prefetch(core->frames[at + i + AHEAD]); /* as an I/O end does */
            forward_look(director, &frames[i], &looks[i]);
        }
        forward_fetch(director, looks, BATCH);
        for (uint32_t i = 0; i < BATCH; i++)
            forwarded +=
                forward_decide(director, &frames[i], &looks[i], core->now_ns) == DR_FORWARDED;
    }
    return forwarded;
}

uint32_t core_decide(struct core *core)
{
    return decide(core, ROUND);
}

/* One after the other, as replay and tests decide. */
uint32_t core_decide_singly(struct core *core)
{
    uint32_t forwarded = 0;

    for (uint32_t i = 0; i < ROUND; i++) {
        struct dr_frame frame = {.data = core->frames[i], .length = FRAME, .captured = FRAME};
        forwarded += forward(&core->director, &frame, core->now_ns) == DR_FORWARDED;
    }
    return forwarded;
}

/* Only which server it would be; returns how often there was one. */
uint32_t core_pick(struct core *core, uint32_t operations)
{
    const struct scheduler *scheduler = scheduler_of(core->service->config.scheduler);
    uint32_t picked = 0;

    for (uint32_t i = 0; i < operations; i++)
        picked += scheduler->pick(&core->director.table, core->service, &core->flows[i % ROUND],
                                  1000) != NULL;
    return picked;
}

/* Ends so many, all of which are over; returns how many it were. */
uint32_t core_expire(struct core *core, uint32_t connections)
{
    struct director *director = &core->director;
    uint32_t before = director->connections.book->count;

    connections_expire(&director->connections, &director->table, tick_of(core->now_ns),
                       connections);
    return before - director->connections.book->count;
}

/* ---- Beside it ---- */

static void prepare_chunk(struct core *core, uint32_t first, uint32_t count, uint8_t tcp_flags)
{
    for (uint32_t i = 0; i < CHUNK; i++)
        prepare(core, i, first + i % count, tcp_flags);
}

/* Connections of flows 0 and on, whose clients have gone on. */
uint32_t core_fill(struct core *core, uint32_t connections)
{
    uint32_t made = 0;

    for (uint32_t flow = 0; flow < connections; flow += CHUNK) {
        uint32_t count = connections - flow < CHUNK ? connections - flow : CHUNK;
        prepare_chunk(core, flow, count, FRAME_SYN);
        made += decide(core, CHUNK) - (CHUNK - count);
        prepare_chunk(core, flow, count, FRAME_ACK);
        decide(core, CHUNK);
    }
    return made;
}

void core_let_pass(struct core *core)
{
    core->now_ns += ever_ns;
}

uint64_t core_bytes(const struct core *core)
{
    const struct dr_limits limits = {
        .services = 16, .servers = 16384, .connections = core->director.connections.room - 1};

    return state_size(&limits);
}
