/* loop.c -- the workers. Each takes frames from its own I/O end, decides on them within the gate,
 * and sends them outside of it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "forward.h"

enum {
    SWEEP_BUDGET = 4096,
    EXPIRE_BUDGET = 512, /* entries ended between two batches, so that a flood's end is no pause */
    IDLE_MS = 250,       /* a wheel slot; without connections there is nothing to wake for */
    LOSSES_EVERY = 1024, /* batches between two looks at the kernel's drop counter */
    LAST_BATCHES = 256,  /* of an end that is closed; its rings hold no more */
    WINDOW_NS = 50000000,
    OTHERS_NS = 1000000, /* of each such time, at a real-time priority */
};

/* What a worker has at hand between two receives. */
struct batch {
    struct dr_frame frames[BATCH];
    struct look looks[BATCH];
    uint32_t lengths[BATCH]; /* as they came: an answer has another */
    enum dr_verdict verdicts[BATCH];
    int received;
    uint64_t now_ns;
    uint64_t before; /* the number of the frame before the first */
};

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- Between two batches ---- */

/* As the kernel counts it: free, and in buffers; asked for once a second. */
static void look_at_memory(struct dr_engine *engine, uint64_t now_ns)
{
    struct sysinfo info;

    if (now_ns < engine->memory_due_ns || sysinfo(&info) < 0)
        return;
    engine->memory_due_ns = now_ns + 1000000000;
    uint64_t bytes = ((uint64_t)info.freeram + info.bufferram) * info.mem_unit;
    engine_enter(engine);
    engine->director.defense.free_pages = bytes / (uint64_t)sysconf(_SC_PAGESIZE);
    engine_leave(engine);
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

static bool has_timers(const struct director *director)
{
    const struct totals *totals = director->table.totals;

    return director->connections.book->count > 0 ||
           !estimator_is_quiet(&totals->estimator, &totals->in);
}

/* ---- A batch ---- */

static void count(struct dr_stats *stats, uint32_t length, enum dr_verdict verdict)
{
    stats->frames++;
    stats->bytes += length;
    stats->verdicts[verdict]++;
}

/* Fragments that waited for the frame before; they are in the director's own store, and so leave
 * before anybody else comes to it. */
static void send_held(struct director *director, struct io *io, uint64_t now_ns)
{
    struct dr_frame *held;

    while ((held = forward_held(director, now_ns))) {
        if (!held->send)
            continue;
        io->ops->send(io, held);
        io->ops->flush(io);
        if (held->failed) {
            director->stats->verdicts[DR_FORWARDED]--;
            director->stats->verdicts[DR_SEND_FAILED]++;
        }
    }
}

/* Frames that stay here are counted at once; what is to be sent, when its fate is known: books that
 * are looked at meanwhile balance, and nothing in them is ever taken back. */
static void decide(struct director *director, struct worker *worker, struct batch *batch)
{
    batch->before = director->frame;
    for (int i = 0; i < batch->received; i++)
        forward_look(director, &batch->frames[i], &batch->looks[i]);
    forward_fetch(director, batch->looks, batch->received);
    for (int i = 0; i < batch->received; i++) {
        struct dr_frame *frame = &batch->frames[i];
        batch->lengths[i] = frame->length;
        director->answer = worker->answers[i];
        director->frame++;
        batch->verdicts[i] = forward_decide(director, frame, &batch->looks[i], batch->now_ns);
        if (frame->send)
            worker->io->ops->send(worker->io, frame);
        else
            count(director->stats, batch->lengths[i], batch->verdicts[i]);
        send_held(director, worker->io, batch->now_ns);
    }
}

/* A record of it, under its own number. */
static void tell_failed(struct director *director, const struct batch *batch, int i)
{
    uint64_t latest = director->frame;

    director->frame = batch->before + (uint64_t)i + 1;
    forward_failed(director, &batch->frames[i], &batch->looks[i], batch->now_ns);
    director->frame = latest;
}

/* After the sending. */
static void settle(struct director *director, const struct batch *batch)
{
    for (int i = 0; i < batch->received; i++) {
        const struct dr_frame *frame = &batch->frames[i];
        if (!frame->send)
            continue;
        if (frame->failed)
            tell_failed(director, batch, i);
        count(director->stats, batch->lengths[i],
              frame->failed ? DR_SEND_FAILED : batch->verdicts[i]);
    }
}

/* Within the gate nobody else counts: what the books gain from here to close_share() is its. */
static void open_share(struct worker *worker, const struct dr_stats *books)
{
    worker->stats.frames -= books->frames;
    worker->stats.forwarded -= books->verdicts[DR_FORWARDED];
}

static void close_share(struct worker *worker, const struct dr_stats *books)
{
    worker->stats.frames += books->frames;
    worker->stats.forwarded += books->verdicts[DR_FORWARDED];
}

/* Within the gate the latest of all workers' clocks counts, so that time never goes back. */
static uint64_t latest(struct dr_engine *engine, uint64_t now_ns)
{
    if (engine->latest_ns < now_ns)
        engine->latest_ns = now_ns;
    return engine->latest_ns;
}

static int step(struct dr_engine *engine, struct worker *worker, uint64_t now_ns)
{
    const struct io_ops *ops = worker->io->ops;
    struct director *director = &engine->director;
    struct batch batch;

    batch.received = ops->receive(worker->io, batch.frames, BATCH);
    engine_enter(engine);
    batch.now_ns = latest(engine, now_ns);
    worker->stats.wakeups += worker->has_slept;
    worker->is_behind = tidy(director, batch.now_ns, EXPIRE_BUDGET, SWEEP_BUDGET);
    open_share(worker, director->stats);
    decide(director, worker, &batch);
    close_share(worker, director->stats);
    worker->is_sending = true;
    engine_leave(engine);
    ops->flush(worker->io);
    engine_enter(engine);
    worker->is_sending = false;
    open_share(worker, director->stats);
    settle(director, &batch);
    close_share(worker, director->stats);
    worker->has_timers = has_timers(director);
    if (++worker->batches % LOSSES_EVERY == 0)
        engine_take_losses(engine, worker);
    engine_leave(engine);
    ops->release(worker->io);
    return batch.received;
}

/* ---- The loops ---- */

/* One batch of each worker, in turn. */
int dr_engine_step(struct dr_engine *engine, uint64_t now_ns)
{
    int received = 0;

    if (!engine_end(engine, 0))
        return -ENOTCONN;
    engine->latest_ns = 0; /* whoever steps says what time it is */
    for (uint32_t i = 0; i < engine->worker_count; i++)
        if (engine->workers[i]->io)
            received += step(engine, engine->workers[i], now_ns);
    return received;
}

/* A real-time priority keeps everybody else from this CPU, the kernel's own threads too: some of
 * each window is theirs, whatever bound the host has set itself (sched_rt_runtime_us). What the
 * thread slept anyway counts. */
static void leave_to_others(struct worker *worker, uint64_t now_ns)
{
    const struct timespec nap = {.tv_nsec = OTHERS_NS};

    if (now_ns - worker->window_ns < WINDOW_NS)
        return;
    uint64_t slept_ns = worker->slept_ns;
    int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
    worker->window_ns = now_ns;
    worker->slept_ns = 0;
    worker->is_realtime = policy == SCHED_FIFO || policy == SCHED_RR;
    if (worker->is_realtime && slept_ns < OTHERS_NS)
        nanosleep(&nap, NULL);
}

/* Whoever asked for it stays awake for a while after a frame: waking is what a lone frame waits
 * for. At a real-time priority nobody looks for frames in vain. */
static bool may_sleep(const struct dr_engine *engine, struct worker *worker, int received,
                      uint64_t now_ns)
{
    uint64_t awake_ns = __atomic_load_n(&engine->busy_poll_ns, __ATOMIC_RELAXED);

    if (received > 0)
        worker->frame_ns = now_ns;
    if (worker->is_realtime)
        awake_ns = 0;
    return received == 0 && !worker->is_behind && now_ns - worker->frame_ns >= awake_ns;
}

static void sleep_until_a_frame(struct worker *worker)
{
    uint64_t before_ns = clock_ns();

    worker->io->ops->wait(worker->io, worker->has_timers ? IDLE_MS : -1);
    worker->slept_ns += clock_ns() - before_ns;
}

int dr_engine_run(struct dr_engine *engine, uint32_t number)
{
    if (!engine_end(engine, number))
        return -ENOTCONN;
    struct worker *worker = engine->workers[number];
    while (!__atomic_load_n(&worker->stop, __ATOMIC_ACQUIRE)) {
        uint64_t now_ns = clock_ns();
        if (number == 0)
            look_at_memory(engine, now_ns);
        int received = step(engine, worker, now_ns);
        worker->has_slept = may_sleep(engine, worker, received, now_ns);
        if (worker->has_slept)
            sleep_until_a_frame(worker);
        leave_to_others(worker, now_ns);
    }
    __atomic_store_n(&worker->stop, 0, __ATOMIC_RELEASE);
    return 0;
}

void dr_engine_stop(struct dr_engine *engine)
{
    for (uint32_t i = 0; i < engine->worker_count; i++) {
        struct worker *worker = engine->workers[i];
        if (!worker->io)
            continue;
        __atomic_store_n(&worker->stop, 1, __ATOMIC_RELEASE);
        worker->io->ops->wake(worker->io);
    }
}

/* What has come in already is decided first, and what was lost is counted: the books have all. */
void dr_engine_close_ends(struct dr_engine *engine)
{
    for (uint32_t i = 0; i < engine->worker_count; i++) {
        struct worker *worker = engine->workers[i];
        struct io *io = worker->io;
        if (!io)
            continue;
        for (int last = 0; last < LAST_BATCHES; last++)
            if (step(engine, worker, clock_ns()) == 0)
                break;
        engine_enter(engine);
        engine_take_losses(engine, worker);
        worker->io = NULL;
        engine_leave(engine);
        io->ops->close(io);
    }
}

/* One decision, without an I/O end: for tests, replay and benchmarks. */
enum dr_verdict dr_forward(struct dr_engine *engine, struct dr_frame *frame, uint64_t now_ns)
{
    struct director *director = engine_enter(engine);
    uint32_t length = frame->length;

    tidy(director, now_ns, UINT32_MAX, UINT32_MAX);
    frame->send = 0;
    director->answer = engine->answer;
    director->frame++;
    enum dr_verdict verdict = forward(director, frame, now_ns);
    count(director->stats, length, verdict);
    engine_leave(engine);
    return verdict;
}

/* After dr_forward: a fragment that had waited for that frame; 0 when there is none. */
int dr_forward_held(struct dr_engine *engine, struct dr_frame *frame, uint64_t now_ns)
{
    const struct dr_frame *held = forward_held(engine_enter(engine), now_ns);

    if (held)
        *frame = *held;
    engine_leave(engine);
    return held != NULL;
}
