/* engine.c -- the loop, and the gate through which everybody else looks at or changes what the
 * loop works on: between two batches, never within one. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "changes.h"
#include "engine.h"
#include "forward.h"
#include "fragments.h"
#include "io.h"
#include "listing.h"
#include "schedulers/schedulers.h"
#include "state.h"
#include "sync.h"
#include "sync_backup.h"
#include "trace.h"

enum {
    BATCH = 64,
    SWEEP_BUDGET = 4096,
    EXPIRE_BUDGET = 512, /* entries ended between two batches, so that a flood's end is no pause */
    IDLE_MS = 250,       /* a wheel slot; without connections there is nothing to wake for */
    LOSSES_EVERY = 1024, /* batches between two looks at the kernel's drop counter */
};

struct dr_engine {
    struct director director;
    struct io *io;
    int adopted;
    int stop; /* written by anybody, read by the loop */
    uint32_t batches;
    uint64_t memory_due_ns;
    bool is_behind;        /* with ending what has expired */
    uint64_t busy_poll_ns; /* set by anybody, read by the loop */
    uint64_t frame_ns;     /* when the last frame came */
    uint8_t backup_syncid;
    pthread_mutex_t door; /* whoever waits here goes before the loop's next batch */
    pthread_mutex_t gate; /* held while a batch, a change or a look is under way */
};

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- The gate ---- */

/* Two locks instead of one make it fair: a busy loop would take a single one back at once. */
static void enter(struct dr_engine *engine)
{
    pthread_mutex_lock(&engine->door);
    pthread_mutex_lock(&engine->gate);
    pthread_mutex_unlock(&engine->door);
    *engine->director.changing = CHANGING_CONNECTIONS;
}

static void enter_table(struct dr_engine *engine)
{
    enter(engine);
    *engine->director.changing = CHANGING_TABLE;
}

static void leave(struct dr_engine *engine)
{
    *engine->director.changing = CHANGING_NOTHING;
    pthread_mutex_unlock(&engine->gate);
}

struct director *engine_enter(struct dr_engine *engine)
{
    enter(engine);
    return &engine->director;
}

void engine_leave(struct dr_engine *engine)
{
    leave(engine);
}

/* ---- The loop ---- */

static void take_losses(struct dr_engine *engine)
{
    if (engine->io)
        engine->director.stats->ring_dropped += engine->io->ops->dropped(engine->io);
}

/* As the kernel counts it: free, and in buffers; asked for once a second. */
static void look_at_memory(struct dr_engine *engine, uint64_t now_ns)
{
    struct sysinfo info;

    if (now_ns < engine->memory_due_ns || sysinfo(&info) < 0)
        return;
    engine->memory_due_ns = now_ns + 1000000000;
    uint64_t bytes = ((uint64_t)info.freeram + info.bufferram) * info.mem_unit;
    enter(engine);
    engine->director.defense.free_pages = bytes / (uint64_t)sysconf(_SC_PAGESIZE);
    leave(engine);
}

/* True when there is more to do than the budgets allowed. */
static bool tidy(struct director *director, uint64_t now_ns, uint32_t expire, uint32_t sweep)
{
    struct connections *connections = &director->connections;
    bool frozen = !director->tuning.run_estimation;
    bool more = connections_expire(connections, &director->table, tick_of(now_ns), expire);

    more = connections_sweep(connections, &director->table, director->tuning.expire_nodest_conn,
                             tick_of(now_ns), sweep) ||
           more;
    more = defense_run(&director->defense, &director->tuning, connections, &director->table,
                       tick_of(now_ns), sweep) ||
           more;
    return rates_run(&director->table, frozen, now_ns, sweep) || more;
}

/* Fragments that waited for the frame that was just sent. */
static void send_held(struct dr_engine *engine, uint64_t now_ns)
{
    struct dr_frame *held;

    while ((held = forward_held(&engine->director, now_ns))) {
        if (!held->send)
            continue;
        engine->io->ops->send(engine->io, held);
        if (held->failed) {
            engine->director.stats->verdicts[DR_FORWARDED]--;
            engine->director.stats->verdicts[DR_SEND_FAILED]++;
        }
    }
}

static int batch(struct dr_engine *engine, uint64_t now_ns)
{
    const struct io_ops *ops = engine->io->ops;
    struct director *director = &engine->director;
    struct dr_stats *stats = engine->director.stats;
    struct dr_frame frames[BATCH];
    struct look looks[BATCH];
    enum dr_verdict verdicts[BATCH];

    engine->is_behind = tidy(director, now_ns, EXPIRE_BUDGET, SWEEP_BUDGET);
    int received = ops->receive(engine->io, frames, BATCH);
    for (int i = 0; i < received; i++)
        forward_look(director, &frames[i], &looks[i]);
    forward_fetch(director, looks, received);
    for (int i = 0; i < received; i++) {
        stats->frames++;
        stats->bytes += frames[i].length;
        verdicts[i] = forward_decide(director, &frames[i], &looks[i], now_ns);
        if (frames[i].send)
            ops->send(engine->io, &frames[i]);
        send_held(engine, now_ns);
    }
    ops->flush(engine->io);
    for (int i = 0; i < received; i++) {
        if (frames[i].failed)
            forward_failed(director, &frames[i], &looks[i], now_ns);
        stats->verdicts[frames[i].failed ? DR_SEND_FAILED : verdicts[i]]++;
    }
    ops->release(engine->io);
    return received;
}

int dr_engine_step(struct dr_engine *engine, uint64_t now_ns)
{
    if (!engine->io)
        return -ENOTCONN;
    enter(engine);
    int received = batch(engine, now_ns);
    if (++engine->batches % LOSSES_EVERY == 0)
        take_losses(engine);
    leave(engine);
    return received;
}

static bool has_timers(const struct director *director)
{
    const struct totals *totals = director->table.totals;

    return director->connections.book->count > 0 ||
           !estimator_is_quiet(&totals->estimator, &totals->in);
}

/* Whoever asked for it stays awake for a while after a frame: waking is what a lone frame waits
 * for. */
static bool may_sleep(struct dr_engine *engine, int received, uint64_t now_ns)
{
    uint64_t awake_ns = __atomic_load_n(&engine->busy_poll_ns, __ATOMIC_RELAXED);

    if (received > 0)
        engine->frame_ns = now_ns;
    return received == 0 && !engine->is_behind && now_ns - engine->frame_ns >= awake_ns;
}

int dr_engine_run(struct dr_engine *engine)
{
    while (!__atomic_load_n(&engine->stop, __ATOMIC_ACQUIRE)) {
        uint64_t now_ns = clock_ns();
        look_at_memory(engine, now_ns);
        int received = dr_engine_step(engine, now_ns);
        if (received < 0)
            return received;
        if (may_sleep(engine, received, now_ns)) {
            engine->io->ops->wait(engine->io, has_timers(&engine->director) ? IDLE_MS : -1);
        }
    }
    __atomic_store_n(&engine->stop, 0, __ATOMIC_RELEASE);
    return 0;
}

void dr_engine_stop(struct dr_engine *engine)
{
    __atomic_store_n(&engine->stop, 1, __ATOMIC_RELEASE);
    if (engine->io)
        engine->io->ops->wake(engine->io);
}

/* One decision, without an I/O end: for tests, replay and benchmarks. */
enum dr_verdict dr_forward(struct dr_engine *engine, struct dr_frame *frame, uint64_t now_ns)
{
    struct director *director = &engine->director;
    struct dr_stats *stats = engine->director.stats;

    enter(engine);
    tidy(director, now_ns, UINT32_MAX, UINT32_MAX);
    stats->frames++;
    stats->bytes += frame->length;
    frame->send = 0;
    enum dr_verdict verdict = forward(director, frame, now_ns);
    stats->verdicts[verdict]++;
    leave(engine);
    return verdict;
}

/* After dr_forward: a fragment that had waited for that frame; 0 when there is none. */
int dr_forward_held(struct dr_engine *engine, struct dr_frame *frame, uint64_t now_ns)
{
    enter(engine);
    const struct dr_frame *held = forward_held(&engine->director, now_ns);
    if (held)
        *frame = *held;
    leave(engine);
    return held != NULL;
}

/* ---- Life ---- */

size_t dr_state_size(const struct dr_limits *limits)
{
    return state_size(limits);
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
    enum state_outcome outcome = state_map(&engine->director, state, size, limits, now_ns);
    int result = outcome == STATE_TOO_SMALL ? -EINVAL : outcome == STATE_STALE ? -ESTALE : 0;
    if (result == 0) {
        engine->adopted = outcome == STATE_ADOPTED;
        engine->director.fragments = fragments_new(limits->fragments);
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
                                                 .lblc_expiration = 86400,
                                                 .lblcr_expiration = 86400};
    *out = engine;
    return 0;
}

int dr_engine_adopted(const struct dr_engine *engine)
{
    return engine->adopted;
}

void dr_engine_free(struct dr_engine *engine)
{
    if (!engine)
        return;
    if (engine->io)
        engine->io->ops->close(engine->io);
    sync_free(engine->director.sync);
    table_close(&engine->director.table);
    fragments_free(engine->director.fragments);
    trace_free(engine->director.trace);
    pthread_mutex_destroy(&engine->door);
    pthread_mutex_destroy(&engine->gate);
    free(engine);
}

int dr_engine_open_memory(struct dr_engine *engine, uint32_t slots)
{
    if (engine->io)
        return -EISCONN;
    engine->io = io_memory_open(slots);
    return engine->io ? 0 : -ENOMEM;
}

int dr_engine_open_ring(struct dr_engine *engine, const struct dr_ring *ring)
{
    return engine->io ? -EISCONN : io_ring_open(&engine->io, ring);
}

int dr_memory_push(struct dr_engine *engine, const struct dr_frame *frame)
{
    if (!engine->io)
        return -ENOTCONN;
    enter(engine);
    int result = io_memory_push(engine->io, frame);
    leave(engine);
    engine->io->ops->wake(engine->io);
    return result;
}

size_t dr_memory_pop(struct dr_engine *engine, uint8_t *bytes, size_t room)
{
    if (!engine->io)
        return 0;
    enter(engine);
    size_t length = io_memory_pop(engine->io, bytes, room);
    leave(engine);
    return length;
}

/* ---- Changes ---- */

void dr_set_identity(struct dr_engine *engine, const struct dr_identity *identity)
{
    enter(engine);
    engine->director.identity = *identity;
    leave(engine);
}

void dr_set_timeouts(struct dr_engine *engine, const struct dr_timeouts *timeouts)
{
    struct dr_timeouts *now = &engine->director.connections.book->timeouts;

    enter(engine);
    if (timeouts->tcp_s)
        now->tcp_s = timeouts->tcp_s;
    if (timeouts->tcp_fin_s)
        now->tcp_fin_s = timeouts->tcp_fin_s;
    if (timeouts->udp_s)
        now->udp_s = timeouts->udp_s;
    leave(engine);
}

void dr_set_tuning(struct dr_engine *engine, const struct dr_tuning *tuning)
{
    struct director *director = &engine->director;

    enter(engine);
    director->tuning = *tuning;
    uint64_t awake_ns = (uint64_t)tuning->busy_poll * 1000;
    __atomic_store_n(&engine->busy_poll_ns, awake_ns, __ATOMIC_RELAXED);
    director->table.lblc_expiration_s = tuning->lblc_expiration;
    director->table.lblcr_expiration_s = tuning->lblcr_expiration;
    defense_adjust(&director->defense, tuning, &director->connections);
    leave(engine);
}

int dr_set_marks(struct dr_engine *engine, const struct dr_mark *marks, size_t count)
{
    enter(engine);
    int result = table_set_marks(&engine->director.table, marks, count);
    leave(engine);
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

    enter_table(engine);
    for (size_t i = 0; i < count; i++) {
        changes[i].result = failed && stop
                                ? -ECANCELED
                                : table_change(&engine->director.table, &changes[i], now_ns);
        failed = failed || changes[i].result != 0;
        stranded = stranded || may_strand(&changes[i], &engine->director.tuning);
    }
    if (stranded)
        connections_sweep_begin(&engine->director.connections, tick_of(now_ns));
    leave(engine);
}

/* ---- Synchronisation ---- */

static int start_master(struct director *director, const struct dr_sync_daemon *daemon)
{
    if (director->sync)
        return -EEXIST;
    director->sync = sync_new(daemon, &director->tuning);
    if (!director->sync)
        return -ENOMEM;
    director->connections.listener =
        (struct connections_listener){.rearmed = sync_rearmed, .whose = director};
    return 0;
}

int dr_sync_start(struct dr_engine *engine, const struct dr_sync_daemon *daemon)
{
    int result = -EINVAL;

    enter(engine);
    if (daemon->role == DR_SYNC_MASTER) {
        result = start_master(&engine->director, daemon);
    } else if (daemon->role == DR_SYNC_BACKUP) {
        result = engine->director.is_backup ? -EEXIST : 0;
        if (result == 0)
            engine->backup_syncid = daemon->syncid;
        engine->director.is_backup = true;
    }
    leave(engine);
    return result;
}

int dr_sync_stop(struct dr_engine *engine, enum dr_sync_role role)
{
    struct director *director = &engine->director;
    int result = -ESRCH;

    enter(engine);
    if (role == DR_SYNC_MASTER && director->sync) {
        director->connections.listener = (struct connections_listener){0};
        sync_free(director->sync);
        director->sync = NULL;
        result = 0;
    } else if (role == DR_SYNC_BACKUP && engine->director.is_backup) {
        engine->director.is_backup = false;
        result = 0;
    }
    leave(engine);
    return result;
}

size_t dr_sync_take(struct dr_engine *engine, uint64_t now_ns, uint32_t *port, uint8_t *bytes,
                    size_t room)
{
    size_t length = 0;

    enter(engine);
    if (engine->director.sync)
        length = sync_take(&engine->director, tick_of(now_ns), port, bytes, room);
    leave(engine);
    return length;
}

int dr_sync_receive(struct dr_engine *engine, const uint8_t *bytes, size_t length, uint64_t now_ns)
{
    struct dr_sync_stats *stats = &engine->director.sync_stats;
    int result = -ESRCH;

    enter_table(engine);
    if (engine->director.is_backup) {
        enum sync_received received =
            sync_receive(&engine->director, bytes, length, engine->backup_syncid, tick_of(now_ns));
        stats->received++;
        stats->refused += received != SYNC_TAKEN;
        result = received == SYNC_MALFORMED ? -EBADMSG : received == SYNC_OF_ANOTHER ? -EPERM : 0;
    }
    leave(engine);
    return result;
}

/* ---- Looks ---- */

void dr_read_stats(struct dr_engine *engine, struct dr_stats *out)
{
    enter(engine);
    take_losses(engine);
    listing_stats(&engine->director, out);
    leave(engine);
}

void dr_read_timeouts(struct dr_engine *engine, struct dr_timeouts *out)
{
    enter(engine);
    *out = engine->director.connections.book->timeouts;
    leave(engine);
}

size_t dr_read_services(struct dr_engine *engine, struct dr_service_row *rows, size_t room)
{
    enter(engine);
    size_t count = listing_services(&engine->director, rows, room);
    leave(engine);
    return count;
}

size_t dr_read_servers(struct dr_engine *engine, uint32_t service_slot, struct dr_server_row *rows,
                       size_t room)
{
    enter(engine);
    size_t count = listing_servers(&engine->director, service_slot, rows, room);
    leave(engine);
    return count;
}

size_t dr_read_connections(struct dr_engine *engine, uint32_t *cursor, uint64_t now_ns,
                           struct dr_connection_row *rows, size_t room)
{
    enter(engine);
    size_t count = listing_connections(&engine->director, cursor, tick_of(now_ns), rows, room);
    leave(engine);
    return count;
}

int dr_scheduler_find(const char *name)
{
    return scheduler_find(name);
}

const char *dr_scheduler_name(int scheduler)
{
    const struct scheduler *found = scheduler_of(scheduler);

    return found ? found->name : NULL;
}
