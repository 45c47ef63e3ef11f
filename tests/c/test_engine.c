/* test_engine.c -- the production loop in its thread, while others push, look and change. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>

#include "dr_trace.h"
#include "frames.h"
#include "io.h"
#include "test.h"

enum {
    FRAMES = 4000,
    SLOTS = 32,
    FLOWS = 50,
    WORKERS = 3,
    OTHERS = 4, /* threads that look or change */
    ROWS = 64,
};

static const struct dr_limits limits = {
    .services = 4, .servers = 8, .connections = 256, .fragments = 4, .seeds = {0x5eed7, 0x7deed}};

struct stage {
    struct dr_engine *engine;
    void *region;
    uint32_t running; /* workers that have begun */
    int done;         /* every frame has been pushed and counted */
};

/* The loop's own clock. */
static uint64_t clock_ns(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct dr_service service(void)
{
    struct dr_service service = {
        .address = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 9, [14] = 0, [15] = 100},
        .protocol = 6,
        .port = 80,
        .scheduler = (uint8_t)dr_scheduler_find("wlc"),
    };

    return service;
}

static struct dr_server server(uint8_t number)
{
    struct dr_server server = {
        .address = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 9, [14] = 0, [15] = 10 + number},
        .port = 80,
        .weight = number,
    };

    return server;
}

static int apply(struct dr_engine *engine, enum dr_operation operation, uint8_t number)
{
    struct dr_change change = {
        .operation = operation, .service = service(), .server = server(number)};

    memcpy(change.mac, server_mac, sizeof(change.mac));
    dr_apply(engine, &change, 1, 0, clock_ns());
    return change.result;
}

static struct stage stage_new(void)
{
    struct stage stage = {.region = calloc(1, dr_state_size(&limits))};
    struct dr_identity identity = {.mtu = 1500};

    CHECK(stage.region);
    CHECK(dr_engine_new(&stage.engine, stage.region, dr_state_size(&limits), &limits, clock_ns()) ==
          0);
    memcpy(identity.mac, director_mac, sizeof(identity.mac));
    dr_set_identity(stage.engine, &identity);
    CHECK(apply(stage.engine, DR_ADD_SERVICE, 0) == 0);
    for (uint8_t number = 1; number <= 3; number++) {
        CHECK(apply(stage.engine, DR_ADD_SERVER, number) == 0);
        CHECK(apply(stage.engine, DR_SET_MAC, number) == 0);
    }
    return stage;
}

static void stage_free(struct stage *stage)
{
    dr_engine_free(stage->engine);
    free(stage->region);
}

static bool is_over(struct stage *stage)
{
    return __atomic_load_n(&stage->done, __ATOMIC_ACQUIRE);
}

static void *loop(void *argument)
{
    struct stage *stage = argument;

    uint32_t worker = __atomic_fetch_add(&stage->running, 1, __ATOMIC_RELAXED);
    CHECK(dr_engine_run(stage->engine, worker) == 0);
    return NULL;
}

static uint64_t sum_of(const struct dr_stats *stats)
{
    uint64_t sum = 0;

    for (int verdict = 0; verdict < DR_VERDICTS; verdict++)
        sum += stats->verdicts[verdict];
    return sum;
}

/* What the workers say of themselves is all there is. */
static void read_books(struct dr_engine *engine, struct dr_stats *stats)
{
    struct dr_worker_stats workers[DR_WORKERS];
    uint32_t count = dr_read_stats(engine, stats, workers);
    uint64_t frames = 0, forwarded = 0;

    for (uint32_t i = 0; i < count; i++) {
        frames += workers[i].frames;
        forwarded += workers[i].forwarded;
    }
    CHECK(stats->frames == sum_of(stats) && stats->frames == frames);
    CHECK(stats->verdicts[DR_FORWARDED] == forwarded);
}

static void *read_all(void *argument)
{
    struct stage *stage = argument;
    struct dr_connection_row connections[ROWS];
    struct dr_server_row servers[ROWS];
    struct dr_service_row services[ROWS];
    struct dr_stats stats;
    uint32_t cursor = 0;
    uint64_t frames = 0;

    while (!is_over(stage)) {
        read_books(stage->engine, &stats);
        CHECK(stats.frames >= frames);
        CHECK(stats.created - stats.expired == stats.connections);
        frames = stats.frames;
        CHECK(dr_read_services(stage->engine, services, ROWS) == 1);
        CHECK(dr_read_servers(stage->engine, services[0].slot, servers, ROWS) <= 3);
        CHECK(dr_read_connections(stage->engine, &cursor, clock_ns(), connections, ROWS) <= ROWS);
        sched_yield();
    }
    return NULL;
}

/* Reads what is recorded of every other frame, and of those dropped. */
static void *watch_all(void *argument)
{
    struct stage *stage = argument;
    const struct dr_trace_filter filter = {.every = 2, .per_s = 1000000};
    struct dr_trace_losses losses = {0};
    struct dr_record records[DR_DROPS_KEPT];
    struct dr_trace *trace;
    uint64_t cursor = 0, frame = 0;

    CHECK(dr_trace_open(&trace, stage->engine, &filter, 64) == 0);
    while (!is_over(stage)) {
        size_t count = dr_trace_read(trace, &cursor, records, DR_DROPS_KEPT, &losses);
        for (size_t i = 0; i < count; i++) {
            CHECK(records[i].frame > frame && records[i].frame <= FRAMES);
            CHECK(records[i].length == 54 && records[i].parsed == DR_PARSED_PORTS);
            frame = records[i].frame;
        }
        CHECK(dr_read_drops(stage->engine, DR_SERVER_REMOVED, records, DR_DROPS_KEPT) <=
              DR_DROPS_KEPT);
        sched_yield();
    }
    CHECK(losses.limited == 0);
    dr_trace_close(stage->engine, trace);
    return NULL;
}

static void *change_all(void *argument)
{
    struct stage *stage = argument;
    const struct dr_timeouts timeouts = {.tcp_s = 901};
    struct dr_timeouts read;

    while (!is_over(stage)) {
        CHECK(apply(stage->engine, DR_DELETE_SERVER, 2) == 0);
        CHECK(apply(stage->engine, DR_EDIT_SERVER, 1) == 0);
        CHECK(apply(stage->engine, DR_ADD_SERVER, 2) == 0);
        CHECK(apply(stage->engine, DR_ADD_SERVER, 2) == -EEXIST);
        dr_set_timeouts(stage->engine, &timeouts);
        dr_read_timeouts(stage->engine, &read);
        CHECK(read.tcp_s == 901 && read.udp_s == 300);
        sched_yield();
    }
    return NULL;
}

static uint64_t pop_all(struct dr_engine *engine, uint32_t worker)
{
    uint8_t bytes[LONGEST_FRAME];
    uint64_t count = 0;

    while (dr_memory_pop(engine, worker, bytes, sizeof(bytes)) > 0)
        count++;
    return count;
}

/* Half of the frames begin a connection, the others go on with it. */
static uint64_t push_all(struct dr_engine *engine)
{
    uint64_t popped = 0;

    for (unsigned i = 0; i < FRAMES; i++) {
        struct made made = tcp_frame(1000 + i % FLOWS, i / FLOWS % 2 ? 0x10 : 0x02);
        struct dr_frame frame = frame_around(made.bytes, &made);
        uint32_t worker = i % FLOWS % WORKERS; /* a flow keeps its worker, as by a fanout */
        while (dr_memory_push(engine, worker, &frame) == -ENOBUFS)
            sched_yield();
        popped += pop_all(engine, worker);
    }
    return popped;
}

static void frames_are_counted_once_whatever_others_do_meanwhile(void)
{
    struct stage stage = stage_new();
    void *(*const others[OTHERS])(void *) = {read_all, read_all, change_all, watch_all};
    pthread_t threads[OTHERS + WORKERS];
    struct dr_stats stats;

    for (int i = 0; i < WORKERS; i++)
        CHECK(dr_engine_open_memory(stage.engine, SLOTS) == 0);
    for (int i = 0; i < OTHERS + WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, i < OTHERS ? others[i] : loop, &stage) == 0);
    uint64_t popped = push_all(stage.engine);
    do {
        sched_yield();
        for (uint32_t worker = 0; worker < WORKERS; worker++)
            popped += pop_all(stage.engine, worker);
        dr_read_stats(stage.engine, &stats, NULL);
    } while (stats.frames < FRAMES);
    for (uint32_t worker = 0; worker < WORKERS; worker++)
        popped += pop_all(stage.engine, worker);
    __atomic_store_n(&stage.done, 1, __ATOMIC_RELEASE);
    dr_engine_stop(stage.engine);
    for (int i = 0; i < OTHERS + WORKERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    read_books(stage.engine, &stats);
    CHECK(stats.frames == FRAMES);
    CHECK(popped == stats.verdicts[DR_FORWARDED]);
    CHECK(stats.verdicts[DR_FORWARDED] + stats.verdicts[DR_SERVER_REMOVED] +
              stats.verdicts[DR_SEND_FAILED] ==
          FRAMES);
    stage_free(&stage);
}

static void a_frame_that_the_end_does_not_take_is_send_failed(void)
{
    struct stage stage = stage_new();
    struct made made = tcp_frame(1, 0x02);
    struct dr_frame frame = frame_around(made.bytes, &made);
    struct dr_stats stats;

    CHECK(dr_engine_open_memory(stage.engine, 1) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(dr_memory_push(stage.engine, 0, &frame) == 0);
        CHECK(dr_memory_push(stage.engine, 0, &frame) == -ENOBUFS);
        CHECK(dr_engine_step(stage.engine, clock_ns()) == 1);
    }
    read_books(stage.engine, &stats);
    CHECK(stats.frames == 2);
    CHECK(stats.verdicts[DR_FORWARDED] == 1 && stats.verdicts[DR_SEND_FAILED] == 1);
    CHECK(pop_all(stage.engine, 0) == 1);
    stage_free(&stage);
}

static void frames_that_failed_are_recorded_by_their_own_numbers(void)
{
    struct stage stage = stage_new();
    struct made made = tcp_frame(1, 0x02);
    struct dr_frame frame = frame_around(made.bytes, &made);
    struct dr_record records[DR_DROPS_KEPT];

    CHECK(dr_engine_open_memory(stage.engine, 2) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(dr_memory_push(stage.engine, 0, &frame) == 0);
        CHECK(dr_memory_push(stage.engine, 0, &frame) == 0);
        CHECK(dr_engine_step(stage.engine, clock_ns()) == 2);
    }
    CHECK(dr_read_drops(stage.engine, DR_SEND_FAILED, records, DR_DROPS_KEPT) == 2);
    CHECK(records[0].frame + records[1].frame == 3 + 4);
    stage_free(&stage);
}

/* An end that only loses: one frame more at each look. */
struct leaky {
    struct io io;
    uint64_t looks;
};

static uint64_t leaky_dropped(struct io *io)
{
    return ++((struct leaky *)(void *)io)->looks;
}

static void leaky_close(struct io *io)
{
    (void)io;
}

static const struct io_ops leaky_ops = {.dropped = leaky_dropped, .close = leaky_close};

static void what_the_kernel_dropped_is_its_worker_s_and_everybody_s(void)
{
    struct stage stage = stage_new();
    struct leaky leaky[2] = {{.io.ops = &leaky_ops}, {.io.ops = &leaky_ops, .looks = 10}};
    struct dr_worker_stats workers[DR_WORKERS];
    struct dr_stats stats;

    CHECK(dr_engine_open_memory(stage.engine, SLOTS) == 0);
    CHECK(dr_engine_open_end(stage.engine, &leaky[0].io) == 0);
    CHECK(dr_engine_open_end(stage.engine, &leaky[1].io) == 0);
    dr_read_stats(stage.engine, &stats, NULL);
    CHECK(stats.ring_dropped == 1 + 11);
    CHECK(dr_read_stats(stage.engine, &stats, workers) == 3);
    CHECK(stats.ring_dropped == 1 + 2 + 11 + 12);
    CHECK(workers[0].ring_dropped == 0);
    CHECK(workers[1].ring_dropped == 1 + 2);
    CHECK(workers[2].ring_dropped == 11 + 12);
    stage_free(&stage);
}

static void an_engine_without_an_end_says_so(void)
{
    struct stage stage = stage_new();
    struct made made = tcp_frame(1, 0x02);
    struct dr_frame frame = frame_around(made.bytes, &made);
    uint8_t byte;

    CHECK(dr_engine_step(stage.engine, 0) == -ENOTCONN);
    CHECK(dr_engine_run(stage.engine, 0) == -ENOTCONN);
    CHECK(dr_memory_push(stage.engine, 0, &frame) == -ENOTCONN);
    CHECK(dr_memory_pop(stage.engine, 0, &byte, 1) == 0);
    for (int i = 0; i < DR_WORKERS; i++)
        CHECK(dr_engine_open_memory(stage.engine, 1) == 0);
    CHECK(dr_engine_open_memory(stage.engine, 1) == -ENOSPC);
    stage_free(&stage);
}

/* Runs the loop of one worker on a fresh end, and closes that with frames still in it. */
static void run_once(struct stage *stage, int frames)
{
    struct made made = tcp_frame(1, 0x02);
    struct dr_frame frame = frame_around(made.bytes, &made);
    pthread_t thread;

    stage->running = 0;
    CHECK(dr_engine_open_memory(stage->engine, SLOTS) == 0);
    CHECK(pthread_create(&thread, NULL, loop, stage) == 0);
    for (int i = 0; i < frames; i++)
        while (dr_memory_push(stage->engine, 0, &frame) == -ENOBUFS)
            sched_yield();
    dr_engine_stop(stage->engine);
    CHECK(pthread_join(thread, NULL) == 0);
    dr_engine_close_ends(stage->engine);
}

static void a_worker_keeps_its_counters_from_one_end_to_the_next(void)
{
    struct stage stage = stage_new();
    struct dr_stats stats;

    for (int i = 0; i < 3; i++)
        run_once(&stage, SLOTS);
    CHECK(dr_read_stats(stage.engine, &stats, NULL) == 1);
    CHECK(stats.frames == 3 * SLOTS);
    read_books(stage.engine, &stats);
    CHECK(dr_engine_step(stage.engine, clock_ns()) == -ENOTCONN);
    dr_engine_close_ends(stage.engine);
    dr_engine_stop(stage.engine);
    stage_free(&stage);
}

static int leaky_receive(struct io *io, struct dr_frame *frames, int room)
{
    (void)io, (void)frames, (void)room;
    return 0;
}

static void leaky_nothing(struct io *io)
{
    (void)io;
}

static void what_was_lost_until_an_end_is_closed_counts(void)
{
    static const struct io_ops ops = {.receive = leaky_receive,
                                      .flush = leaky_nothing,
                                      .release = leaky_nothing,
                                      .dropped = leaky_dropped,
                                      .close = leaky_close};
    struct stage stage = stage_new();
    struct leaky leaky = {.io.ops = &ops, .looks = 4};
    struct dr_stats stats;

    CHECK(dr_engine_open_end(stage.engine, &leaky.io) == 0);
    dr_engine_close_ends(stage.engine);
    dr_read_stats(stage.engine, &stats, NULL);
    CHECK(stats.ring_dropped == 5);
    stage_free(&stage);
}

/* An end that has one frame, and takes its time to send it. */
struct slow {
    struct io io;
    struct made made;
    int is_flushing;
    int has_flushed;
};

static int slow_receive(struct io *io, struct dr_frame *frames, int room)
{
    struct slow *slow = (struct slow *)(void *)io;

    (void)room;
    frames[0] = (struct dr_frame){.data = slow->made.bytes,
                                  .length = (uint32_t)slow->made.length,
                                  .captured = (uint32_t)slow->made.length};
    return 1;
}

static void slow_send(struct io *io, struct dr_frame *frame)
{
    (void)io, (void)frame;
}

static void slow_flush(struct io *io)
{
    const struct timespec while_ = {.tv_nsec = 50000000};
    struct slow *slow = (struct slow *)(void *)io;

    __atomic_store_n(&slow->is_flushing, 1, __ATOMIC_RELEASE);
    CHECK(nanosleep(&while_, NULL) == 0);
    __atomic_store_n(&slow->has_flushed, 1, __ATOMIC_RELEASE);
}

static uint64_t slow_dropped(struct io *io)
{
    (void)io;
    return 0;
}

static void *one_step(void *argument)
{
    CHECK(dr_engine_step(argument, clock_ns()) == 1);
    return NULL;
}

static void who_stands_by_has_nothing_left_to_send(void)
{
    static const struct io_ops ops = {.receive = slow_receive,
                                      .send = slow_send,
                                      .flush = slow_flush,
                                      .release = leaky_nothing,
                                      .dropped = slow_dropped,
                                      .close = leaky_close};
    struct stage stage = stage_new();
    struct slow slow = {.io.ops = &ops, .made = tcp_frame(1000, 0x02)};
    struct dr_identity identity = {.mtu = 1500, .standby = 1};
    pthread_t stepping;

    memcpy(identity.mac, director_mac, sizeof(identity.mac));
    CHECK(dr_engine_open_end(stage.engine, &slow.io) == 0);
    CHECK(pthread_create(&stepping, NULL, one_step, stage.engine) == 0);
    while (!__atomic_load_n(&slow.is_flushing, __ATOMIC_ACQUIRE))
        sched_yield();
    dr_set_identity(stage.engine, &identity);
    CHECK(__atomic_load_n(&slow.has_flushed, __ATOMIC_ACQUIRE));
    CHECK(pthread_join(stepping, NULL) == 0);
    stage_free(&stage);
}

static void limits_that_cannot_be_are_refused(void)
{
    static const struct dr_limits wrong[] = {
        {.services = 0, .servers = 1, .connections = 1},
        {.services = 1, .servers = 0, .connections = 1},
        {.services = 1, .servers = 1, .connections = 0},
        {.services = 65535, .servers = 1, .connections = 1},
        {.services = 1, .servers = 65536, .connections = 1},
        {.services = 1, .servers = 1, .connections = 0x7fffffff},
    };
    struct dr_engine *engine = NULL;
    uint64_t word = 0;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK(dr_engine_new(&engine, &word, sizeof(word), &wrong[i], 0) == -EINVAL);
    CHECK(dr_engine_new(&engine, &word, sizeof(word), &limits, 0) == -EINVAL);
    CHECK(engine == NULL);
    dr_engine_free(NULL);
}

int main(void)
{
    RUN(frames_are_counted_once_whatever_others_do_meanwhile);
    RUN(what_the_kernel_dropped_is_its_worker_s_and_everybody_s);
    RUN(a_frame_that_the_end_does_not_take_is_send_failed);
    RUN(frames_that_failed_are_recorded_by_their_own_numbers);
    RUN(a_worker_keeps_its_counters_from_one_end_to_the_next);
    RUN(what_was_lost_until_an_end_is_closed_counts);
    RUN(an_engine_without_an_end_says_so);
    RUN(who_stands_by_has_nothing_left_to_send);
    RUN(limits_that_cannot_be_are_refused);
}
