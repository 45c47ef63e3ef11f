/* state.c -- a header that says what follows, then services, servers, entries, what is beside
 * them, buckets, wheel.
 * There is no pointer in the region; whoever maps it may map it anywhere. */
#include "state.h"

#include <string.h>

#include "mend.h"

enum {
    MAGIC = 0x44724664, /* "DrFd" */
    FORMAT = 10,        /* of everything below; raised with any change of layout or meaning */
    ALIGNMENT = 64,
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

/* Bytes from the beginning of the region. */
struct layout {
    size_t services;
    size_t servers;
    size_t entries;
    size_t rest;
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

static bool is_ours(const struct state_header *header, const struct dr_limits *limits)
{
    const struct state_header wanted = header_for(limits);

    return header->magic == wanted.magic && header->format == wanted.format &&
           memcmp(header->sizes, wanted.sizes, sizeof(wanted.sizes)) == 0 &&
           header->services == wanted.services && header->servers == wanted.servers &&
           header->connections == wanted.connections && header->clock == wanted.clock &&
           header->changing != CHANGING_TABLE;
}

enum state_outcome state_map(struct director *director, void *region, size_t size,
                             const struct dr_limits *limits, uint64_t now_ns)
{
    struct layout layout = layout_of(limits);
    struct state_header *header = region;
    uint8_t *bytes = region;

    if (size < layout.end)
        return STATE_TOO_SMALL;
    director->table = (struct table){
        .services = (struct service *)(void *)(bytes + layout.services),
        .servers = (struct server *)(void *)(bytes + layout.servers),
        .totals = &header->totals,
        .lblc_expiration_s = EXPIRATION_S,
        .lblcr_expiration_s = EXPIRATION_S,
        .service_room = limits->services,
        .server_room = limits->servers,
    };
    director->connections = (struct connections){
        .book = &header->book,
        .entries = (struct connection *)(void *)(bytes + layout.entries),
        .rest = (struct connection_rest *)(void *)(bytes + layout.rest),
        .buckets = (uint32_t *)(void *)(bytes + layout.buckets),
        .wheel = (uint32_t *)(void *)(bytes + layout.wheel),
        .room = limits->connections + 1,
        .bucket_mask = connections_buckets(limits->connections) - 1,
    };
    director->stats = &header->stats;
    director->changing = &header->changing;
    if (is_ours(header, limits)) {
        if (header->changing != CHANGING_NOTHING) {
            mend_connections(&director->connections, &director->table);
            mend_stats(director->stats);
        }
        header->changing = CHANGING_NOTHING;
        return STATE_ADOPTED;
    }
    if (header->magic != 0)
        return STATE_STALE;
    *header = header_for(limits);
    header->changing = CHANGING_TABLE; /* until it is whole */
    connections_init(&director->connections, limits->seed, now_ns);
    header->changing = CHANGING_NOTHING;
    return STATE_FRESH;
}
