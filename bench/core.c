/* core.c -- the core without sockets, a million times: for test_core.py, which times the calls.
 *
 * Flows are visited at random, as clients come. Each operation writes its flow into the same
 * 60 bytes, so the frame is in the cache: a frame that comes from a ring costs a miss or two more.
 * Functions return how many operations went as they should. */
#include <stdlib.h>

#include "changes.h"
#include "forward.h"
#include "frames.h"
#include "schedulers/schedulers.h"
#include "state.h"
#include "trace.h"

enum { BATCH = 64 }; /* as the engine's; operations are a multiple of it */

static const uint64_t ever_ns = UINT64_C(3600000000000); /* no time-out is longer */

static const uint8_t mac[6] = {0, 0, 0x5e, 0, 1, 60};

struct core {
    struct director director;
    void *region;
    uint64_t now_ns;
    uint32_t random;
    uint8_t frame[FRAME];
};

/* xorshift32 (Marsaglia 2003), and Lemire's way to a number below a bound. */
static uint32_t random_below(struct core *core, uint32_t bound)
{
    core->random ^= core->random << 13;
    core->random ^= core->random >> 17;
    core->random ^= core->random << 5;
    return (uint32_t)((uint64_t)core->random * bound >> 32);
}

static void set_address(uint8_t address[ADDRESS], uint8_t network, uint8_t host)
{
    const uint8_t mapped[ADDRESS] = {[10] = 0xff, [11] = 0xff, 10, 10, network, host};

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

    set_address(it.service.address, 10, 60);
    it.service.scheduler = (uint8_t)scheduler_find(scheduler);
    change(core, &it);
    for (uint32_t i = 0; i < servers; i++) {
        it.server = (struct dr_server){.port = 80, .weight = 1 + i % 5};
        set_address(it.server.address, 11, (uint8_t)(i + 1));
        it.operation = DR_ADD_SERVER;
        change(core, &it);
        it.operation = DR_SET_MAC;
        change(core, &it);
    }
}

/* All pages of the region are touched here: that they are new is not what is measured. */
struct core *core_new(uint32_t connections, const char *scheduler, uint32_t servers)
{
    const struct dr_limits limits = {
        .services = 16, .servers = 256, .connections = connections, .seed = 0x5eed, .clock = 1};
    struct core *core = calloc(1, sizeof(*core));
    size_t size = state_size(&limits);

    if (!core || posix_memalign(&core->region, 4096, size))
        abort();
    memset(core->region, 0, size);
    core->now_ns = ever_ns;
    state_map(&core->director, core->region, size, &limits, core->now_ns);
    if (table_open(&core->director.table) < 0)
        abort();
    memcpy(core->director.identity.mac, mac, sizeof(mac));
    core->director.identity.mtu = 1500;
    core->random = 2463534242;
    frame_init(core->frame, mac);
    add_servers(core, scheduler, servers);
    return core;
}

void core_free(struct core *core)
{
    table_close(&core->director.table);
    trace_free(core->director.trace);
    free(core->region);
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

static enum dr_verdict decide(struct core *core, uint32_t flow, uint8_t tcp_flags)
{
    struct dr_frame frame = {.data = core->frame, .length = FRAME, .captured = FRAME};
    static const uint8_t client[6] = {2, 0, 0, 0, 0, 9};

    memcpy(core->frame, mac, sizeof(mac));
    memcpy(core->frame + 6, client, sizeof(client));
    frame_set_flow(core->frame, flow, tcp_flags);
    return forward(&core->director, &frame, core->now_ns);
}

/* ---- What is timed ---- */

uint32_t core_parse(struct core *core, uint32_t operations)
{
    struct packet packet;
    uint32_t fine = 0;

    for (uint32_t i = 0; i < operations; i++) {
        frame_set_flow(core->frame, random_below(core, 65536), FRAME_ACK);
        fine += packet_parse(core->frame, FRAME, &packet) == PACKET_TRANSPORT;
    }
    return fine;
}

/* New connections: flow 0 and on. */
uint32_t core_insert(struct core *core, uint32_t operations)
{
    uint32_t fine = 0;

    for (uint32_t i = 0; i < operations; i++)
        fine += decide(core, i, FRAME_SYN) == DR_FORWARDED;
    return fine;
}

/* The same in batches, as the loop takes them: it looks at all of a batch, and has the memory
 * fetched that the decisions will need, before it decides. */
uint32_t core_hit_in_batches(struct core *core, uint32_t operations, uint32_t flows)
{
    static uint8_t bytes[BATCH][FRAME];
    struct dr_frame frames[BATCH];
    struct look looks[BATCH];
    uint32_t fine = 0;

    for (uint32_t done = 0; done < operations; done += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            frame_init(bytes[i], mac);
            frame_set_flow(bytes[i], random_below(core, flows), FRAME_ACK);
            frames[i] = (struct dr_frame){.data = bytes[i], .length = FRAME, .captured = FRAME};
            forward_look(&core->director, &frames[i], &looks[i]);
        }
        forward_fetch(&core->director, looks, BATCH);
        for (uint32_t i = 0; i < BATCH; i++)
            fine += forward_decide(&core->director, &frames[i], &looks[i], core->now_ns) ==
                    DR_FORWARDED;
    }
    return fine;
}

/* Frames of connections that are there: of flows 0 to `flows`. */
uint32_t core_hit(struct core *core, uint32_t operations, uint32_t flows)
{
    uint32_t fine = 0;

    for (uint32_t i = 0; i < operations; i++)
        fine += decide(core, random_below(core, flows), FRAME_ACK) == DR_FORWARDED;
    return fine;
}

/* Frames in mid-stream of connections that are not there. */
uint32_t core_miss(struct core *core, uint32_t operations, uint32_t flows)
{
    uint32_t fine = 0;

    for (uint32_t i = 0; i < operations; i++)
        fine += decide(core, flows + random_below(core, flows), FRAME_ACK) == DR_NO_CONNECTION;
    return fine;
}

/* Ends everything there is. */
uint32_t core_expire(struct core *core)
{
    struct director *director = &core->director;
    uint32_t before = director->connections.book->count;

    core->now_ns += ever_ns;
    connections_expire(&director->connections, &director->table, tick_of(core->now_ns), UINT32_MAX);
    return before - director->connections.book->count;
}
