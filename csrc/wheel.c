/* wheel.c -- the timer wheel: when connections and templates end. */
#include "entries.h"

enum {
    WHEEL_HEAD = 0x80000000,
    REARM_S = 60, /* a template that still controls connections lives on in steps of this */
};

/* A packet only moves `expires` on; the entry stays where it is linked and is moved when the wheel
 * comes by. Only a shorter time-out relinks at once. */

/* Linked entries are always less than one turn ahead of the wheel, so a slot names one time. */
void wheel_link(struct connections *connections, struct connection *connection)
{
    uint32_t at = connections->book->wheel_tick;
    int32_t ahead = ((int32_t)(connection->expires - at) + WHEEL_TICKS - 1) / WHEEL_TICKS;

    if (ahead < 1)
        ahead = 1;
    if (ahead > WHEEL_SLOTS - 1)
        ahead = WHEEL_SLOTS - 1;

    uint32_t slot = (at / WHEEL_TICKS + (uint32_t)ahead) % WHEEL_SLOTS;
    uint32_t index = connections_index(connections, connection);
    uint32_t *head = &connections->wheel[slot];
    connection->wheel_next = *head;
    connection->wheel_previous = WHEEL_HEAD | slot;
    if (*head != NO_CONNECTION)
        connections->entries[*head].wheel_previous = index;
    *head = index;
}

void wheel_unlink(struct connections *connections, const struct connection *connection)
{
    if (connection->wheel_previous & WHEEL_HEAD)
        connections->wheel[connection->wheel_previous & ~WHEEL_HEAD] = connection->wheel_next;
    else
        connections->entries[connection->wheel_previous].wheel_next = connection->wheel_next;
    if (connection->wheel_next != NO_CONNECTION)
        connections->entries[connection->wheel_next].wheel_previous = connection->wheel_previous;
}

/* Seldom, so not where it is called. */
__attribute__((noinline)) static void relink(struct connections *connections,
                                             struct connection *connection)
{
    wheel_unlink(connections, connection);
    wheel_link(connections, connection);
}

uint32_t ticks_of_seconds(uint32_t seconds)
{
    const uint64_t tick_ns = UINT64_C(1) << TICK_SHIFT;

    return (uint32_t)(((uint64_t)seconds * 1000000000 + tick_ns - 1) >> TICK_SHIFT) + 1;
}

static void restart(struct connections *connections, struct connection *connection,
                    uint32_t timeout_s, uint32_t tick)
{
    uint32_t expires = tick + ticks_of_seconds(timeout_s);
    bool sooner = (int32_t)(expires - connection->expires) < 0;

    connection->expires = expires;
    if (sooner)
        relink(connections, connection);
}

void connections_restart(struct connections *connections, struct connection *connection,
                         uint32_t tick)
{
    restart(connections, connection, connection->timeout_s, tick);
}

uint32_t connections_idle_s(const struct connection *connection, uint32_t tick)
{
    int64_t left = (int32_t)(connection->expires - tick);
    int64_t idle = (int64_t)ticks_of_seconds(connection->timeout_s) - left;

    return idle < 0 ? 0 : seconds_of((uint32_t)idle);
}

void connections_set_timeout(struct connections *connections, struct connection *connection,
                             uint32_t timeout_s, uint32_t tick)
{
    timeout_s = bounded_s(timeout_s);
    if (connection->timeout_s != timeout_s)
        connection->timeout_s = timeout_s;
    restart(connections, connection, timeout_s, tick);
}

static void fire(struct connections *connections, struct table *table,
                 struct connection *connection, uint32_t tick)
{
    if ((int32_t)(connection->expires - tick) > 0) {
        relink(connections, connection);
    } else if (connection->flags & CONNECTION_TEMPLATE && connection->control != 0) {
        connection->timeout_s = REARM_S;
        connection->expires = tick + ticks_of_seconds(REARM_S);
        relink(connections, connection);
        if (connections->listener.rearmed)
            connections->listener.rearmed(connections->listener.whose, connection, tick);
    } else {
        connections_end(connections, table, connection, tick);
    }
}

bool connections_expire(struct connections *connections, struct table *table, uint32_t tick,
                        uint32_t budget)
{
    struct connections_book *book = connections->book;
    const int32_t turn = WHEEL_SLOTS * WHEEL_TICKS;

    /* After a long sleep one turn of the wheel meets every entry. */
    if ((int32_t)(tick - book->wheel_tick) > turn)
        book->wheel_tick = tick / WHEEL_TICKS * WHEEL_TICKS - (uint32_t)turn;
    while ((int32_t)(tick - book->wheel_tick) >= 0) {
        uint32_t *head = &connections->wheel[book->wheel_tick / WHEEL_TICKS % WHEEL_SLOTS];
        while (*head != NO_CONNECTION) {
            if (budget-- == 0)
                return true;
            fire(connections, table, &connections->entries[*head], tick);
        }
        book->wheel_tick += WHEEL_TICKS;
    }
    return false;
}
