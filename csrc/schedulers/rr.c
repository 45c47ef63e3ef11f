/* rr.c -- round robin: the eligible servers one after the other. Weights count only as 0 or not. */
#include "schedulers.h"

static void start(struct table *table, struct service *service)
{
    (void)table;
    service->cursor.at = NO_SLOT;
}

/* The cursor steps back, so that the one after the removed server is next. */
static void removed(struct table *table, struct service *service, struct server *server)
{
    if (service->cursor.at == (uint32_t)(server - table->servers))
        service->cursor.at = server->previous;
}

/* From behind the cursor to the end, over the head, and up to the cursor itself. */
static struct server *pick(struct table *table, struct service *service, const struct flow *flow,
                           uint32_t now_s)
{
    (void)flow;
    (void)now_s;
    uint32_t slot = service->cursor.at;

    for (uint32_t visited = 0; visited < service->servers; visited++) {
        slot = slot == NO_SLOT ? service->head : table->servers[slot].next;
        if (slot == NO_SLOT)
            slot = service->head;
        if (server_is_eligible(&table->servers[slot])) {
            service->cursor.at = slot;
            return &table->servers[slot];
        }
    }
    return NULL;
}

const struct scheduler scheduler_rr = {
    .name = "rr",
    .start = start,
    .added = scheduler_note_nothing,
    .removed = removed,
    .edited = scheduler_note_nothing,
    .pick = pick,
};
