/* schedulers.c -- the table of schedulers. */
#include "schedulers.h"

#include <errno.h>
#include <string.h>

static const struct scheduler *const schedulers[] = {
    &scheduler_rr,
    &scheduler_wrr,
    &scheduler_lc,
    &scheduler_wlc,
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
