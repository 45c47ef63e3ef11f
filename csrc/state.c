/* state.c -- a header that says what follows, then services, servers, entries, what is beside
 * them, buckets, wheel.
 * There is no pointer in the region; whoever maps it may map it anywhere. */
#include "state.h"

#include <string.h>

#include "mend.h"

enum {
    MAGIC = 0x44724664, /* "DrFd" */
    FORMAT = 12,        /* of everything below; raised with any change of layout or meaning */
    COUNT_SINCE = 11,   /* the format from which on the count of connections is where it is now */
    ALIGNMENT = 64,
    MOST_CONNECTIONS = 0x7ffffffe,
    EXPIRATION_S = 24 * 60 * 60, /* lblc_expiration, lblcr_expiration */
};

struct state_header {
    uint32_t magic;
    uint32_t format;
    uint32_t sizes[4]; /* of this, a service, a server, a connection: catches another compiler */
    uint32_t services;
    uint32_t servers;
    uint32_t connections;
    uint64_t clock;
    uint32_t changing;
    struct connections_book book;
    struct dr_stats stats;
    struct totals totals;
};

_Static_assert(offsetof(struct state_header, book.count) == 72, "see COUNT_SINCE");

/* Bytes from the beginning of the region. */
struct layout {
    size_t services;
    size_t servers;
    size_t entries;
    size_t rest;
    size_t queue;
    size_t buckets;
    size_t wheel;
    size_t end;
};

static size_t place(size_t *end, size_t bytes)
{
    size_t at = *end;

    *end += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

static struct layout layout_of(const struct dr_limits *limits)
{
    struct layout layout = {0};
    size_t entries = (size_t)limits->connections + 1;

    place(&layout.end, sizeof(struct state_header));
    layout.services = place(&layout.end, limits->services * sizeof(struct service));
    layout.servers = place(&layout.end, limits->servers * sizeof(struct server));
    layout.entries = place(&layout.end, entries * sizeof(struct connection));
    layout.rest = place(&layout.end, entries * sizeof(struct connection_rest));
    layout.queue = place(&layout.end, entries * sizeof(struct connection_queue));
    layout.buckets =
        place(&layout.end, connections_buckets(limits->connections) * sizeof(uint32_t));
    layout.wheel = place(&layout.end, WHEEL_SLOTS * sizeof(uint32_t));
    return layout;
}

size_t state_size(const struct dr_limits *limits)
{
    return layout_of(limits).end;
}

static struct state_header header_for(const struct dr_limits *limits)
{
    return (struct state_header){
        .magic = MAGIC,
        .format = FORMAT,
        .sizes = {sizeof(struct state_header), sizeof(struct service), sizeof(struct server),
                  sizeof(struct connection)},
        .services = limits->services,
        .servers = limits->servers,
        .connections = limits->connections,
        .clock = limits->clock,
    };
}

/* ---- What is in a region ---- */

/* Of what every format so far had at its beginning; a later one may only be told of. */
static bool has_room(const struct state_header *header)
{
    return header->services - 1 < NO_SLOT - 1 && header->servers - 1 < NO_SLOT - 1 &&
           header->connections - 1 < MOST_CONNECTIONS;
}

static enum dr_state state_of(const struct state_header *header, size_t size,
                              const struct dr_limits *limits)
{
    static const struct state_header zeros;
    const struct state_header wanted = header_for(limits);

    if (memcmp(header, &zeros, sizeof(zeros)) == 0)
        return DR_STATE_NONE;
    if (header->magic != wanted.magic)
        return DR_STATE_DAMAGED;
    if (header->format != wanted.format ||
        memcmp(header->sizes, wanted.sizes, sizeof(wanted.sizes)) != 0)
        return DR_STATE_OTHER_FORMAT;
    const struct dr_limits own = {.services = header->services,
                                  .servers = header->servers,
                                  .connections = header->connections};
    if (!has_room(header) || size < state_size(&own))
        return DR_STATE_DAMAGED;
    if (header->clock != wanted.clock)
        return DR_STATE_OTHER_CLOCK;
    bool is_same_room = header->services == wanted.services && header->servers == wanted.servers &&
                        header->connections == wanted.connections;
    return is_same_room ? DR_STATE_OURS : DR_STATE_OTHER_ROOM;
}

struct dr_state_look state_look(const void *region, size_t size, const struct dr_limits *limits)
{
    const struct state_header *header = region;

    if (size < sizeof(*header))
        return (struct dr_state_look){.state = size == 0 ? DR_STATE_NONE : DR_STATE_DAMAGED};
    struct dr_state_look look = {.state = state_of(header, size, limits)};
    if (look.state == DR_STATE_NONE || look.state == DR_STATE_DAMAGED)
        return look;
    look.format = header->format;
    if (header->format < COUNT_SINCE)
        return look;
    look.count = header->book.count <= header->connections ? header->book.count : 0;
    if (look.state == DR_STATE_OTHER_FORMAT)
        return look;
    look.services = header->services;
    look.servers = header->servers;
    look.connections = header->connections;
    return look;
}

/* ---- Mapping one ---- */

static void point_into(struct director *director, uint8_t *bytes, const struct layout *layout,
                       const struct dr_limits *limits)
{
    struct state_header *header = (struct state_header *)(void *)bytes;

    director->table = (struct table){
        .services = (struct service *)(void *)(bytes + layout->services),
        .servers = (struct server *)(void *)(bytes + layout->servers),
        .totals = &header->totals,
        .lblc_expiration_s = EXPIRATION_S,
        .lblcr_expiration_s = EXPIRATION_S,
        .service_room = limits->services,
        .server_room = limits->servers,
    };
    director->connections = (struct connections){
        .book = &header->book,
        .entries = (struct connection *)(void *)(bytes + layout->entries),
        .rest = (struct connection_rest *)(void *)(bytes + layout->rest),
        .queue = (struct connection_queue *)(void *)(bytes + layout->queue),
        .seeds = {limits->seeds[0], limits->seeds[1]},
        .buckets = (uint32_t *)(void *)(bytes + layout->buckets),
        .wheel = (uint32_t *)(void *)(bytes + layout->wheel),
        .room = limits->connections + 1,
        .bucket_mask = connections_buckets(limits->connections) - 1,
    };
    connections_set_share(&director->connections, UNPROVED_PERCENT);
    memcpy(director->limiter.seeds, limits->seeds, sizeof(director->limiter.seeds));
    director->stats = &header->stats;
    director->changing = &header->changing;
}

/* However it was left, also in order: nobody knows what has happened to it since. */
static enum state_outcome adopt(struct director *director, uint64_t now_ns)
{
    uint32_t said = director->connections.book->count;
    int put_right = mend_table(&director->table, now_ns);

    if (put_right < 0)
        return STATE_NO_MEMORY;
    uint32_t count = mend_connections(&director->connections, &director->table, tick_of(now_ns));
    mend_stats(director->stats);
    director->adoption = (struct dr_adoption){
        .adopted = 1,
        .connections = count,
        .lost = said < director->connections.room && said > count ? said - count : 0,
        .put_right = (uint32_t)put_right,
    };
    *director->changing = CHANGING_NOTHING;
    return STATE_ADOPTED;
}

enum state_outcome state_map(struct director *director, void *region, size_t size,
                             const struct dr_limits *limits, uint64_t now_ns)
{
    struct layout layout = layout_of(limits);
    struct state_header *header = region;

    if (size < layout.end)
        return STATE_TOO_SMALL;
    point_into(director, region, &layout, limits);
    switch (state_of(header, size, limits)) {
    case DR_STATE_OURS:
        return adopt(director, now_ns);
    case DR_STATE_NONE:
        break;
    case DR_STATE_OTHER_ROOM:
    case DR_STATE_OTHER_CLOCK:
    case DR_STATE_OTHER_FORMAT:
    case DR_STATE_DAMAGED:
        return STATE_STALE;
    }
    connections_init(&director->connections, now_ns);
    /* The magic comes last: until then it is none of ours. */
    struct state_header fresh = header_for(limits);
    memcpy((uint8_t *)header + sizeof(header->magic), (uint8_t *)&fresh + sizeof(fresh.magic),
           offsetof(struct state_header, changing) - sizeof(header->magic));
    __atomic_store_n(&header->magic, MAGIC, __ATOMIC_RELEASE);
    return STATE_FRESH;
}
