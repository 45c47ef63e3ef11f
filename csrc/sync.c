/* sync.c -- when a connection is told of, and messages in the making. */
#include "sync.h"

#include <stdlib.h>

#include "states.h"
#include "sync_message.h"

enum {
    FLUSH_MS = 2000, /* a message that is not full waits so long for more */
    MOST_PORTS = 64,
    TWO_BITS = 3, /* of `announced`: how often it was repeated */
    MIN_RENEWAL_S = 10,
};

/* Messages to one port, in a ring; the one at `put` is in the making. */
struct outbox {
    uint8_t *slots;
    uint64_t put;
    uint64_t taken;
    size_t length; /* of the one in the making; 0: there is none */
    uint32_t begun_tick;
    uint8_t version;
};

struct sync {
    uint8_t syncid;
    uint32_t maxlen;
    uint32_t slot_bytes;
    uint32_t slots; /* one more than may wait */
    uint32_t ports;
    struct outbox outboxes[MOST_PORTS];
};

static uint32_t ticks_of_ms(uint64_t ms)
{
    return (uint32_t)((ms * 1000000) >> TICK_SHIFT);
}

/* ---- Messages ---- */

struct sync *sync_new(const struct dr_sync_daemon *daemon, const struct dr_tuning *tuning)
{
    struct sync *sync = calloc(1, sizeof(*sync));

    if (!sync)
        return NULL;
    sync->syncid = daemon->syncid;
    sync->maxlen = daemon->maxlen;
    sync->slot_bytes = SYNC_HEADER + SYNC_LONGEST_ENTRY;
    if (sync->maxlen > sync->slot_bytes)
        sync->slot_bytes = sync->maxlen;
    sync->slots = tuning->sync_qlen_max + 1;
    sync->ports =
        tuning->sync_ports >= 1 && tuning->sync_ports <= MOST_PORTS ? tuning->sync_ports : 1;
    for (uint32_t port = 0; port < sync->ports; port++) {
        /* Pages are touched only when so many messages wait. */
        sync->outboxes[port].slots = malloc((size_t)sync->slots * sync->slot_bytes);
        if (!sync->outboxes[port].slots) {
            sync_free(sync);
            return NULL;
        }
    }
    return sync;
}

void sync_free(struct sync *sync)
{
    for (uint32_t port = 0; sync && port < sync->ports; port++)
        free(sync->outboxes[port].slots);
    free(sync);
}

static uint8_t *slot(const struct sync *sync, const struct outbox *outbox, uint64_t number)
{
    return outbox->slots + (size_t)(number % sync->slots) * sync->slot_bytes;
}

/* The message in the making is made; one too many is lost, as in the kernel. */
static void finish(struct director *director, struct outbox *outbox)
{
    const struct sync *sync = director->sync;
    uint32_t most = director->tuning.sync_qlen_max;

    outbox->length = 0;
    if (outbox->put - outbox->taken < most && outbox->put - outbox->taken < sync->slots - 1)
        outbox->put++;
    else
        director->sync_stats.discarded++;
}

static bool has_room(const struct sync *sync, const struct outbox *outbox, size_t more)
{
    const uint8_t *message = slot(sync, outbox, outbox->put);
    uint8_t count = message[outbox->version == 0 ? 0 : 4];

    return outbox->length + more <= sync->maxlen && count < SYNC_MOST_ENTRIES;
}

static void announce(struct director *director, uint32_t port, const struct sync_entry *entry,
                     uint32_t tick)
{
    struct sync *sync = director->sync;
    struct outbox *outbox = &sync->outboxes[port];
    uint8_t version = director->tuning.sync_version;

    if (outbox->length > 0 &&
        (outbox->version != version || !has_room(sync, outbox, sync_entry_length(entry, version))))
        finish(director, outbox);
    uint8_t *message = slot(sync, outbox, outbox->put);
    if (outbox->length == 0) {
        outbox->length = sync_begin(message, version, sync->syncid);
        outbox->version = version;
        outbox->begun_tick = tick;
    }
    outbox->length = sync_add(message, outbox->length, version, entry);
    director->sync_stats.announced++;
}

size_t sync_take(struct director *director, uint32_t tick, uint32_t *port, uint8_t *bytes,
                 size_t room)
{
    struct sync *sync = director->sync;

    for (uint32_t number = 0; number < sync->ports; number++) {
        struct outbox *outbox = &sync->outboxes[number];
        if (outbox->length > 0 && tick - outbox->begun_tick >= ticks_of_ms(FLUSH_MS))
            finish(director, outbox);
        if (outbox->put == outbox->taken)
            continue;
        const uint8_t *message = slot(sync, outbox, outbox->taken++);
        size_t length = read16(message + 2);
        *port = number;
        if (length > room)
            return 0;
        memcpy(bytes, message, length);
        director->sync_stats.sent++;
        return length;
    }
    return 0;
}

/* ---- Entries ---- */

static uint32_t flags_of(const struct connection *connection)
{
    bool is_template = connection->flags & CONNECTION_TEMPLATE;
    uint32_t flags = SYNC_DIRECT_ROUTING | SYNC_NO_OUTPUT;

    if (is_template)
        flags |= SYNC_TEMPLATE;
    if (is_template || connection->flags & CONNECTION_INACTIVE)
        flags |= SYNC_INACTIVE;
    if (connection->flags & CONNECTION_SYNCED)
        flags |= SYNC_LEARNT;
    return flags;
}

static struct sync_entry entry_of(const struct director *director,
                                  const struct connection *connection)
{
    const struct server *server = &director->table.servers[connection->server];
    struct sync_entry entry = {
        .flow = connection_flow(connection),
        .server_port = connection->port, /* direct routing changes none */
        .state = connection->state,
        .flags = flags_of(connection),
        .timeout_s = connection->timeout_s,
    };

    /* A mark's template has the mark for an address. */
    entry.mark = entry.flow.protocol == PROTOCOL_ANY ? read32(entry.flow.address + ADDRESS - 4)
                                                     : table_mark(&director->table, &entry.flow);
    memcpy(entry.server, server->config.address, ADDRESS);
    return entry;
}

/* ---- When ---- */

enum urgency { SYNC_NEVER, SYNC_AT_TIMES, SYNC_NOW };

static enum urgency urgency_of(const struct director *director, const struct connection *connection,
                               const struct connection_rest *rest)
{
    if (connection->flags & CONNECTION_TEMPLATE)
        return SYNC_AT_TIMES;
    if (director->tuning.sync_persist_mode && connection->control != NO_CONNECTION)
        return SYNC_NEVER;
    if (!state_is_told(connection->protocol, connection->state))
        return SYNC_NEVER;
    bool has_changed = connection->state != rest->announced_state;
    bool is_established = state_is_established(connection->protocol, connection->state);
    return has_changed && !is_established && connection->protocol != PROTOCOL_UDP ? SYNC_NOW
                                                                                  : SYNC_AT_TIMES;
}

/* Told not long ago: true when it is not yet time to repeat it. Else *until counts the repetition.
 */
static bool is_fresh(const struct dr_tuning *tuning, const struct connection *connection,
                     uint32_t announced, uint32_t tick, uint32_t *until)
{
    uint32_t period = ticks_of_ms(UINT64_C(1000) * tuning->sync_refresh_period);
    uint32_t timeout = ticks_of_ms(UINT64_C(1000) * connection->timeout_s);
    uint32_t least = ticks_of_ms(UINT64_C(1000) * MIN_RENEWAL_S);
    int32_t gained = (int32_t)(*until - announced);
    uint32_t bound = timeout / 2 > least ? timeout / 2 : least;

    if (period < bound)
        bound = period;
    if ((gained < 0 ? 0 - (uint32_t)gained : (uint32_t)gained) >= bound)
        return false;
    uint32_t repeated = announced & TWO_BITS;
    if (repeated >= tuning->sync_retries)
        return true;
    if ((int32_t)(tick - (announced - timeout + period / 8)) < 0)
        return true;
    *until |= repeated + 1;
    return false;
}

static bool is_its_turn(const struct dr_tuning *tuning, const struct connection *connection,
                        uint32_t packets)
{
    if (tuning->sync_period > 0)
        return connection->flags & CONNECTION_TEMPLATE ||
               packets % tuning->sync_period == tuning->sync_threshold;
    return tuning->sync_refresh_period > 0 || packets == tuning->sync_threshold;
}

/* Tells of it if it is time to; false when it is not. */
static bool tell(struct director *director, struct connection *connection, uint32_t packets,
                 uint32_t tick)
{
    const struct dr_tuning *tuning = &director->tuning;
    struct connection_rest *rest = connections_rest(&director->connections, connection, tick);
    uint32_t until = (tick + ticks_of_ms(UINT64_C(1000) * connection->timeout_s)) & ~TWO_BITS;
    enum urgency urgency = urgency_of(director, connection, rest);

    if (urgency == SYNC_NEVER)
        return false;
    if (urgency == SYNC_AT_TIMES) {
        if (tuning->sync_refresh_period > 0 &&
            is_fresh(tuning, connection, rest->announced, tick, &until))
            return false;
        if (!is_its_turn(tuning, connection, packets))
            return false;
    }
    rest->announced = until;
    rest->announced_state = connection->state;
    const struct sync_entry entry = entry_of(director, connection);
    uint32_t index = connections_index(&director->connections, connection);
    announce(director, index % director->sync->ports, &entry, tick);
    return true;
}

static bool is_tellable(const struct director *director, const struct connection *connection)
{
    return director->tuning.sync_version != 0 || is_ipv4(connection->address);
}

void sync_packet(struct director *director, const struct way *way, uint32_t tick)
{
    struct connections *connections = &director->connections;
    bool is_old_protocol = director->tuning.sync_version == 0;
    struct connection *template = way->template;

    if (way->connection) {
        if (!is_tellable(director, way->connection))
            return;
        uint32_t packets = connections_packets(connections, way->connection);
        /* The old protocol told of a template only together with a connection. */
        if (!tell(director, way->connection, packets, tick) && is_old_protocol)
            return;
        uint32_t control = way->connection->control;
        template = control == NO_CONNECTION ? NULL : &connections->entries[control];
    } else if (is_old_protocol) {
        return;
    }
    if (!template)
        return;
    connections_count(connections, template, tick);
    tell(director, template, connections_packets(connections, template), tick);
}

void sync_rearmed(void *whose, struct connection *template, uint32_t tick)
{
    struct director *director = whose;

    if (director->sync && is_tellable(director, template))
        tell(director, template, director->tuning.sync_threshold, tick);
}
