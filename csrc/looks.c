/* looks.c -- the border for looks at the table and the counters. */
#include "dr.h"
#include "engine.h"
#include "listing.h"
#include "schedulers/schedulers.h"

uint32_t dr_read_stats(struct dr_engine *engine, struct dr_stats *out,
                       struct dr_worker_stats *workers)
{
    engine_enter(engine);
    for (uint32_t i = 0; i < engine->worker_count; i++) {
        engine_take_losses(engine, engine->workers[i]);
        if (workers)
            workers[i] = engine->workers[i]->stats;
    }
    listing_stats(&engine->director, out);
    engine_leave(engine);
    return engine->worker_count;
}

void dr_read_timeouts(struct dr_engine *engine, struct dr_timeouts *out)
{
    engine_enter(engine);
    *out = engine->director.connections.book->timeouts;
    engine_leave(engine);
}

size_t dr_read_services(struct dr_engine *engine, struct dr_service_row *rows, size_t room)
{
    engine_enter(engine);
    size_t count = listing_services(&engine->director, rows, room);
    engine_leave(engine);
    return count;
}

size_t dr_read_servers(struct dr_engine *engine, uint32_t service_slot, struct dr_server_row *rows,
                       size_t room)
{
    engine_enter(engine);
    size_t count = listing_servers(&engine->director, service_slot, rows, room);
    engine_leave(engine);
    return count;
}

size_t dr_read_connections(struct dr_engine *engine, uint32_t *cursor, uint64_t now_ns,
                           struct dr_connection_row *rows, size_t room)
{
    engine_enter(engine);
    size_t count = listing_connections(&engine->director, cursor, tick_of(now_ns), rows, room);
    engine_leave(engine);
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
