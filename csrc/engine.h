/* engine.h -- the gate, through which everybody passes who looks at or changes what the workers
 * work on: between two of their batches, never within one. For the parts of the border, each of
 * which lives in a file of its own. */
#ifndef ENGINE_H
#define ENGINE_H

#include <pthread.h>
#include <stdbool.h>

#include "director.h"
#include "io.h"

enum { BATCH = 64 }; /* frames that are decided without leaving the gate */

/* One thread with an I/O end of its own. */
struct worker {
    struct io *io; /* NULL: its interface is gone, or not there yet */
    int stop;      /* written by anybody, read by the loop */
    uint32_t batches;
    bool is_sending; /* the batch is decided, and not all of it may have left; within the gate */
    struct dr_worker_stats stats; /* within the gate */
    bool has_slept;               /* since its last batch */
    bool is_behind;               /* with ending what has expired */
    bool has_timers;              /* when it last looked */
    uint64_t frame_ns;            /* when its last frame came */
    uint64_t window_ns;           /* since when it counts what it sleeps */
    uint64_t slept_ns;            /* since then */
    bool is_realtime;             /* by its priority, when it last looked */
    uint8_t answers[BATCH][ANSWER_ROOM];
};

struct dr_engine {
    struct director director;
    struct worker *workers[DR_WORKERS];
    uint32_t worker_count;
    uint64_t latest_ns; /* that any worker's clock has shown */
    uint64_t memory_due_ns;
    uint64_t busy_poll_ns; /* set by anybody, read by the loops */
    uint8_t backup_syncid;
    uint8_t answer[ANSWER_ROOM]; /* where there is no worker */
    pthread_mutex_t door;        /* whoever waits here goes before the next batch */
    pthread_mutex_t gate;        /* held while decisions, a change or a look are under way */
};

/* Waits until no batch is being decided; none is before engine_leave(). */
struct director *engine_enter(struct dr_engine *engine);
/* The same, for changes that cannot be mended when the process dies within one. */
struct director *engine_enter_table(struct dr_engine *engine);
void engine_leave(struct dr_engine *engine);

/* NULL where there is no such worker, or it has none now. */
struct io *engine_end(const struct dr_engine *engine, uint32_t worker);

/* Adds what the kernel dropped to the counters; within the gate. */
void engine_take_losses(struct dr_engine *engine, struct worker *worker);

#endif
