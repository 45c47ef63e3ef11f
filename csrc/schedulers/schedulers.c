/* schedulers.c -- the table of schedulers. */
#include "schedulers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct scheduler *const schedulers[] = {
    &scheduler_rr,  &scheduler_wrr,  &scheduler_lc,    &scheduler_wlc,  &scheduler_sed,
    &scheduler_nq,  &scheduler_sh,   &scheduler_dh,    &scheduler_mh,   &scheduler_fo,
    &scheduler_ovf, &scheduler_lblc, &scheduler_lblcr, &scheduler_twos,
};

enum { SCHEDULERS = sizeof(schedulers) / sizeof(schedulers[0]) };

const struct scheduler *scheduler_of(int number)
{
    return number >= 0 && number < SCHEDULERS ? schedulers[number] : NULL;
}

int scheduler_find(const char *name)
{
    for (int number = 0; number < SCHEDULERS; number++)
        if (strcmp(schedulers[number]->name, name) == 0)
            return number;
    return -ENOENT;
}

int scheduler_attach(struct table *table, struct service *service, int number)
{
    const struct scheduler *scheduler = scheduler_of(number);
    void **memory = &table->memory[service - table->services];
    void *fresh = NULL;

    if (scheduler->memory_bytes > 0) {
        fresh = calloc(1, scheduler->memory_bytes);
        if (!fresh)
            return -ENOMEM;
    }
    free(*memory);
    *memory = fresh;
    if (scheduler->attach)
        scheduler->attach(table, service);
    return 0;
}

void scheduler_detach(struct table *table, struct service *service)
{
    void **memory = &table->memory[service - table->services];

    free(*memory);
    *memory = NULL;
}

void scheduler_start_nothing(struct table *table, struct service *service)
{
    (void)table;
    (void)service;
}

void scheduler_note_nothing(struct table *table, struct service *service, struct server *server)
{
    (void)table;
    (void)service;
    (void)server;
}

uint32_t scheduler_turn(const struct table *table, const struct service *service, uint32_t slot)
{
    for (uint32_t i = 0; i < service->servers; i++) {
        if (slot != NO_SLOT)
            slot = table->servers[slot].next;
        if (slot == NO_SLOT)
            slot = service->head;
        if (table->servers[slot].config.drain == DR_DRAIN_NONE)
            return slot;
    }
    return NO_SLOT;
}
