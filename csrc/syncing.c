/* syncing.c -- the border for synchronisation. */
#include <errno.h>

#include "dr.h"
#include "engine.h"
#include "sync.h"
#include "sync_backup.h"

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

    engine_enter(engine);
    if (daemon->role == DR_SYNC_MASTER) {
        result = start_master(&engine->director, daemon);
    } else if (daemon->role == DR_SYNC_BACKUP) {
        result = engine->director.is_backup ? -EEXIST : 0;
        if (result == 0)
            engine->backup_syncid = daemon->syncid;
        engine->director.is_backup = true;
    }
    engine_leave(engine);
    return result;
}

int dr_sync_stop(struct dr_engine *engine, enum dr_sync_role role)
{
    struct director *director = &engine->director;
    int result = -ESRCH;

    engine_enter(engine);
    if (role == DR_SYNC_MASTER && director->sync) {
        director->connections.listener = (struct connections_listener){0};
        sync_free(director->sync);
        director->sync = NULL;
        result = 0;
    } else if (role == DR_SYNC_BACKUP && engine->director.is_backup) {
        engine->director.is_backup = false;
        result = 0;
    }
    engine_leave(engine);
    return result;
}

size_t dr_sync_take(struct dr_engine *engine, uint64_t now_ns, uint32_t *port, uint8_t *bytes,
                    size_t room)
{
    size_t length = 0;

    engine_enter(engine);
    if (engine->director.sync)
        length = sync_take(&engine->director, tick_of(now_ns), port, bytes, room);
    engine_leave(engine);
    return length;
}

int dr_sync_receive(struct dr_engine *engine, const uint8_t *bytes, size_t length, uint64_t now_ns)
{
    struct dr_sync_stats *stats = &engine->director.sync_stats;
    int result = -ESRCH;

    engine_enter_table(engine);
    if (engine->director.is_backup) {
        enum sync_received received =
            sync_receive(&engine->director, bytes, length, engine->backup_syncid, tick_of(now_ns));
        stats->received++;
        stats->refused += received != SYNC_TAKEN;
        result = received == SYNC_MALFORMED ? -EBADMSG : received == SYNC_OF_ANOTHER ? -EPERM : 0;
    }
    engine_leave(engine);
    /* A loop that sleeps because there was nothing to end must learn that there is now. */
    struct io *first = engine_end(engine, 0);
    if (result == 0 && first)
        first->ops->wake(first);
    return result;
}
