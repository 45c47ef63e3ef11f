/* engine.c -- the gate, the life of an engine, and what is set from outside. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "changes.h"
#include "engine.h"
#include "fragments.h"
#include "spin.h"
#include "state.h"
#include "sync.h"
#include "trace.h"

enum { MOST_PAUSES = 1000 }; /* of a millisecond */

/* ---- The gate ---- */

/* Two locks instead of one make it fair: a busy loop would take a single one back at once. */
struct director *engine_enter(struct dr_engine *engine)
{
    spin_lock(&engine->door);
    spin_lock(&engine->gate);
    pthread_mutex_unlock(&engine->door);
    *engine->director.changing = CHANGING_CONNECTIONS;
    return &engine->director;
}

struct director *engine_enter_table(struct dr_engine *engine)
{
    struct director *director = engine_enter(engine);

    *director->changing = CHANGING_TABLE;
    return director;
}

void engine_leave(struct dr_engine *engine)
{
    *engine->director.changing = CHANGING_NOTHING;
    pthread_mutex_unlock(&engine->gate);
}

void engine_take_losses(struct dr_engine *engine, struct worker *worker)
{
    uint64_t dropped = worker->io ? worker->io->ops->dropped(worker->io) : 0;

    worker->stats.ring_dropped += dropped;
    engine->director.stats->ring_dropped += dropped;
}

/* ---- Life ---- */

size_t dr_state_size(const struct dr_limits *limits)
{
    return state_size(limits);
}

void dr_state_look(const void *state, size_t size, const struct dr_limits *limits,
                   struct dr_state_look *out)
{
    *out = state_look(state, size, limits);
}

static int result_of(enum state_outcome outcome)
{
    switch (outcome) {
    case STATE_ADOPTED:
    case STATE_FRESH:
        return 0;
    case STATE_STALE:
        return -ESTALE;
    case STATE_TOO_SMALL:
        return -EINVAL;
    case STATE_NO_MEMORY:
        return -ENOMEM;
    }
    return -EINVAL;
}

int dr_engine_new(struct dr_engine **out, void *state, size_t size, const struct dr_limits *limits,
                  uint64_t now_ns)
{
    if (limits->services >= NO_SLOT || limits->servers >= NO_SLOT || limits->services == 0 ||
        limits->servers == 0 || limits->connections == 0 || limits->connections >= 0x7fffffff)
        return -EINVAL;

    struct dr_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return -ENOMEM;
    int result = result_of(state_map(&engine->director, state, size, limits, now_ns));
    if (result == 0) {
        engine->director.fragments = fragments_new(limits->fragments, limits->seeds);
        engine->director.trace = trace_new();
        bool has_memory = engine->director.fragments && engine->director.trace;
        result = has_memory ? table_open(&engine->director.table) : -ENOMEM;
    }
    if (result < 0) {
        trace_free(engine->director.trace);
        fragments_free(engine->director.fragments);
        free(engine);
        return result;
    }
    engine->director.answer = engine->answer;
    engine->director.frame = engine->director.stats->frames;
    pthread_mutex_init(&engine->door, NULL);
    pthread_mutex_init(&engine->gate, NULL);
    engine->director.tuning = (struct dr_tuning){.conn_reuse_mode = 1,
                                                 .run_estimation = 1,
                                                 .icmp_ratelimit = 1000,
                                                 .sync_version = 1,
                                                 .sync_ports = 1,
                                                 .sync_threshold = 3,
                                                 .sync_period = 50,
                                                 .sync_qlen_max = 4096,
                                                 .am_droprate = 10,
                                                 .amemthresh = 1024,
                                                 .unproved_share = UNPROVED_PERCENT,
                                                 .lblc_expiration = 86400,
                                                 .lblcr_expiration = 86400};
    *out = engine;
    return 0;
}

void dr_engine_adoption(const struct dr_engine *engine, struct dr_adoption *out)
{
    *out = engine->director.adoption;
}

void dr_engine_free(struct dr_engine *engine)
{
    if (!engine)
        return;
    for (uint32_t i = 0; i < engine->worker_count; i++) {
        struct io *io = engine->workers[i]->io;
        if (io)
            io->ops->close(io);
        free(engine->workers[i]);
    }
    sync_free(engine->director.sync);
    table_close(&engine->director.table);
    fragments_free(engine->director.fragments);
    trace_free(engine->director.trace);
    pthread_mutex_destroy(&engine->door);
    pthread_mutex_destroy(&engine->gate);
    free(engine);
}

/* ---- Workers ---- */

struct io *engine_end(const struct dr_engine *engine, uint32_t worker)
{
    return worker < engine->worker_count ? engine->workers[worker]->io : NULL;
}

/* The first one without an end, or makes another; its end comes then. */
static int add_worker(struct dr_engine *engine, struct worker **out)
{
    for (uint32_t i = 0; i < engine->worker_count; i++) {
        *out = engine->workers[i];
        if (!(*out)->io)
            return 0;
    }
    if (engine->worker_count == DR_WORKERS)
        return -ENOSPC;
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return -ENOMEM;
    engine->workers[engine->worker_count++] = *out;
    return 0;
}

int dr_engine_open_memory(struct dr_engine *engine, uint32_t slots)
{
    struct worker *worker;
    int result = add_worker(engine, &worker);

    if (result < 0)
        return result;
    worker->io = io_memory_open(slots);
    return worker->io ? 0 : -ENOMEM;
}

int dr_engine_open_ring(struct dr_engine *engine, const struct dr_ring *ring)
{
    struct worker *worker;
    int result = add_worker(engine, &worker);

    return result < 0 ? result : io_ring_open(&worker->io, ring);
}

int dr_engine_open_end(struct dr_engine *engine, struct io *end)
{
    struct worker *worker;
    int result = add_worker(engine, &worker);

    if (result < 0)
        return result;
    worker->io = end;
    return 0;
}

int dr_engine_open_xsk(struct dr_engine *engine, uint32_t worker, const struct dr_xsk *xsk)
{
    if (!engine_end(engine, worker))
        return -ENOTCONN;
    return io_xdp_add(&engine->workers[worker]->io, xsk);
}

int dr_memory_push(struct dr_engine *engine, uint32_t worker, const struct dr_frame *frame)
{
    struct io *io = engine_end(engine, worker);

    if (!io)
        return -ENOTCONN;
    engine_enter(engine);
    int result = io_memory_push(io, frame);
    engine_leave(engine);
    io->ops->wake(io);
    return result;
}

size_t dr_memory_pop(struct dr_engine *engine, uint32_t worker, uint8_t *bytes, size_t room)
{
    struct io *io = engine_end(engine, worker);

    if (!io)
        return 0;
    engine_enter(engine);
    size_t length = io_memory_pop(io, bytes, room);
    engine_leave(engine);
    return length;
}

/* ---- Changes ---- */

static bool is_sending(struct dr_engine *engine, const uint32_t batches[DR_WORKERS])
{
    bool found = false;

    engine_enter(engine);
    for (uint32_t i = 0; i < engine->worker_count; i++) {
        const struct worker *worker = engine->workers[i];
        found = found || (worker->is_sending && worker->batches == batches[i]);
    }
    engine_leave(engine);
    return found;
}

/* When a director stands by, the batches that were decided before have left as well: none of their
 * frames comes after another director's announcement. No end blocks; the limit is for a thread that
 * the host does not let run. */
void dr_set_identity(struct dr_engine *engine, const struct dr_identity *identity)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint32_t batches[DR_WORKERS];

    engine_enter(engine);
    engine->director.identity = *identity;
    for (uint32_t i = 0; i < engine->worker_count; i++)
        batches[i] = engine->workers[i]->batches;
    engine_leave(engine);
    for (int i = 0; identity->standby && i < MOST_PAUSES && is_sending(engine, batches); i++)
        nanosleep(&pause, NULL);
}

void dr_set_timeouts(struct dr_engine *engine, const struct dr_timeouts *timeouts)
{
    struct dr_timeouts *now = &engine->director.connections.book->timeouts;

    engine_enter(engine);
    if (timeouts->tcp_s)
        now->tcp_s = timeouts->tcp_s;
    if (timeouts->tcp_fin_s)
        now->tcp_fin_s = timeouts->tcp_fin_s;
    if (timeouts->udp_s)
        now->udp_s = timeouts->udp_s;
    engine_leave(engine);
}

void dr_set_tuning(struct dr_engine *engine, const struct dr_tuning *tuning)
{
    struct director *director = &engine->director;

    engine_enter(engine);
    director->tuning = *tuning;
    uint64_t awake_ns = (uint64_t)tuning->busy_poll * 1000;
    __atomic_store_n(&engine->busy_poll_ns, awake_ns, __ATOMIC_RELAXED);
    director->table.lblc_expiration_s = tuning->lblc_expiration;
    director->table.lblcr_expiration_s = tuning->lblcr_expiration;
    connections_set_share(&director->connections, tuning->unproved_share);
    defense_adjust(&director->defense, tuning, &director->connections);
    engine_leave(engine);
}

int dr_set_marks(struct dr_engine *engine, const struct dr_mark *marks, size_t count)
{
    engine_enter(engine);
    int result = table_set_marks(&engine->director.table, marks, count);
    engine_leave(engine);
    return result;
}

static bool may_strand(const struct dr_change *change, const struct dr_tuning *tuning)
{
    switch (change->operation) {
    case DR_DELETE_SERVICE:
    case DR_DELETE_SERVER:
    case DR_CLEAR:
        return tuning->expire_nodest_conn;
    case DR_ADD_SERVER:
    case DR_EDIT_SERVER:
        return change->server.drain > DR_DRAIN_KEEP;
    default:
        return false;
    }
}

void dr_apply(struct dr_engine *engine, struct dr_change *changes, size_t count, int stop,
              uint64_t now_ns)
{
    bool failed = false;
    bool stranded = false;

    engine_enter_table(engine);
    for (size_t i = 0; i < count; i++) {
        changes[i].result = failed && stop
                                ? -ECANCELED
                                : table_change(&engine->director.table, &changes[i], now_ns);
        failed = failed || changes[i].result != 0;
        stranded = stranded || may_strand(&changes[i], &engine->director.tuning);
    }
    if (stranded)
        connections_sweep_begin(&engine->director.connections, tick_of(now_ns));
    engine_leave(engine);
}
