/* defense.c -- when new connections are thinned out, and which old ones go first. */
#include "defense.h"

#include "states.h"

enum {
    MODE_ON = 3,
    ROOM_SHARE = 16,  /* the table is short of room with less than a sixteenth free */
    VISIT_SHARE = 32, /* of the entries are looked at in a second */
    IDLE_S = 60,      /* a connection that had a packet since is left alone */
};

/* ---- What is in force ---- */

/* The kernel's measure: the less there is, the more has to go; 0: there is enough. */
static uint32_t rate_of(uint64_t available, uint64_t threshold)
{
    return available < threshold ? (uint32_t)(threshold / (threshold - available)) : 0;
}

/* Each so-manieth packet has to go because of what is short; 0: nothing is. */
static uint32_t shortage(const struct defense *defense, const struct dr_tuning *tuning,
                         const struct connections *connections)
{
    uint32_t vacant = connections->room - 1 - connections->book->count;
    uint32_t by_room = rate_of(vacant, connections->room / ROOM_SHARE);
    uint32_t by_memory =
        defense->free_pages == 0 ? 0 : rate_of(defense->free_pages, tuning->amemthresh);

    if (by_room == 0 || by_memory == 0)
        return by_room + by_memory;
    return by_room < by_memory ? by_room : by_memory;
}

static bool is_in_force(uint8_t mode, uint32_t shortage)
{
    return mode == MODE_ON || (mode != 0 && shortage != 0);
}

void defense_adjust(struct defense *defense, const struct dr_tuning *tuning,
                    const struct connections *connections)
{
    uint32_t rate = shortage(defense, tuning, connections);

    defense->is_secure = is_in_force(tuning->secure_tcp, rate);
    defense->drops_entries = is_in_force(tuning->drop_entry, rate);
    defense->drop_rate = 0;
    if (is_in_force(tuning->drop_packet, rate))
        defense->drop_rate = tuning->drop_packet == MODE_ON ? tuning->am_droprate : rate;
    if (defense->drop_turn > defense->drop_rate)
        defense->drop_turn = defense->drop_rate;
}

bool defense_sheds(struct defense *defense)
{
    if (defense->drop_rate == 0)
        return false;
    if (defense->drop_turn > 1) {
        defense->drop_turn--;
        return false;
    }
    defense->drop_turn = defense->drop_rate;
    return true;
}

/* ---- drop_entry ---- */

/* Idle, and with few packets: of those with n of them each n-th goes. */
static bool is_rarely_used(struct defense *defense, const struct connections *connections,
                           const struct connection *connection, uint32_t tick)
{
    uint32_t packets = connections_packets(connections, connection);

    if (connections_idle_s(connection, tick) < IDLE_S || packets == 0 ||
        packets > DEFENSE_MOST_PACKETS)
        return false;
    uint8_t *turn = &defense->turns[packets];
    if (*turn > 1) {
        --*turn;
        return false;
    }
    *turn = (uint8_t)packets;
    return true;
}

static bool is_of_one_packet(const struct table *table, const struct connection *connection)
{
    const struct server *server = &table->servers[connection->server];

    return server->use == SLOT_LISTED &&
           table->services[server->service].config.flags & DR_ONE_PACKET;
}

/* Half-open ones go at once, and what serves nobody and never did. */
static bool is_expendable(struct defense *defense, const struct connections *connections,
                          const struct table *table, const struct connection *connection,
                          uint32_t tick)
{
    bool is_template = connection->flags & CONNECTION_TEMPLATE;

    if (is_template && connection->control != 0)
        return false;
    if (is_template && !is_of_one_packet(table, connection))
        return connection->state != TEMPLATE_ASSURED;
    if (!is_template && state_is_half_open(connection->protocol, connection->state))
        return true;
    if (!is_template && connection->protocol != PROTOCOL_UDP &&
        !state_is_established(connection->protocol, connection->state))
        return false;
    return is_rarely_used(defense, connections, connection, tick);
}

bool defense_run(struct defense *defense, const struct dr_tuning *tuning,
                 struct connections *connections, struct table *table, uint32_t tick,
                 uint32_t budget)
{
    const struct connections_book *book = connections->book;

    if (defense->second != seconds_of(tick)) {
        defense->second = seconds_of(tick);
        defense_adjust(defense, tuning, connections);
        defense->quota =
            defense->drops_entries ? (book->fresh - 1 + VISIT_SHARE - 1) / VISIT_SHARE : 0;
    }
    for (; defense->quota > 0 && budget > 0; defense->quota--, budget--) {
        if (defense->next == NO_CONNECTION || defense->next >= book->fresh)
            defense->next = NO_CONNECTION + 1;
        struct connection *connection = &connections->entries[defense->next++];
        if (connection->server != NO_SLOT &&
            is_expendable(defense, connections, table, connection, tick))
            connections_drop(connections, table, connection, tick);
    }
    return defense->quota > 0;
}
