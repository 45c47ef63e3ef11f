/* world.h -- a director in a block of memory exactly as long as its state, and words to fill it. */
#ifndef WORLD_H
#define WORLD_H

#include "changes.h"
#include "director.h"
#include "forward.h"
#include "fragments.h"
#include "frames.h"
#include "schedulers/schedulers.h"
#include "state.h"
#include "test.h"

static const uint64_t second_ns = 1000000000;
static const uint64_t start_ns = 5000000 * (uint64_t)1000000000;

struct world {
    struct dr_limits limits;
    struct director director;
    void *region;
    size_t size;
    uint8_t *answer;
};

static inline struct world world_with(struct dr_limits limits)
{
    struct world world = {.limits = limits, .size = state_size(&limits)};

    world.region = calloc(1, world.size);
    CHECK(world.region);
    CHECK(state_map(&world.director, world.region, world.size, &limits, start_ns) == STATE_FRESH);
    world.director.answer = world.answer = calloc(1, ANSWER_ROOM);
    CHECK(world.answer);
    CHECK(table_open(&world.director.table) == 0);
    world.director.fragments = fragments_new(limits.fragments, limits.seeds);
    CHECK(world.director.fragments);
    memcpy(world.director.identity.mac, director_mac, MAC);
    world.director.identity.mtu = 1500;
    world.director.tuning.conn_reuse_mode = 1;
    return world;
}

static inline struct world world_new(uint32_t connections)
{
    return world_with((struct dr_limits){.services = 8,
                                         .servers = 8,
                                         .connections = connections,
                                         .fragments = 4,
                                         .seeds = {0x5eed7, 0x7deed}});
}

static inline void world_free(struct world *world)
{
    table_close(&world->director.table);
    fragments_free(world->director.fragments);
    free(world->answer);
    free(world->region);
}

static inline void map_address(uint8_t out[ADDRESS], const uint8_t ipv4[4])
{
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, ipv4, 4);
}

static inline struct dr_service service_on(uint8_t protocol, uint16_t port, const char *scheduler)
{
    struct dr_service service = {
        .protocol = protocol,
        .port = port,
        .scheduler = (uint8_t)scheduler_find(scheduler),
    };

    map_address(service.address, vip);
    memset(service.mask, 0xff, ADDRESS);
    return service;
}

static inline struct dr_service service6_on(uint8_t protocol, uint16_t port, const char *scheduler)
{
    struct dr_service service = service_on(protocol, port, scheduler);

    memcpy(service.address, vip6, ADDRESS);
    return service;
}

static inline struct dr_service persistent_on(uint16_t port, uint32_t persistent_s)
{
    struct dr_service service = service_on(PROTOCOL_TCP, port, "rr");

    service.flags = DR_PERSISTENT;
    service.persistent_s = persistent_s;
    return service;
}

static inline struct dr_server server_number(uint8_t number, uint16_t port, uint32_t weight)
{
    const uint8_t address[4] = {10, 9, 0, (uint8_t)(10 + number)};
    struct dr_server server = {.port = port, .weight = weight};

    map_address(server.address, address);
    return server;
}

static inline int change(struct world *world, enum dr_operation operation,
                         struct dr_service service, struct dr_server server, uint64_t now_ns)
{
    const struct dr_change change = {.operation = operation, .service = service, .server = server};

    return table_change(&world->director.table, &change, now_ns);
}

static inline void know_mac(struct world *world, uint8_t number)
{
    struct dr_change change = {.operation = DR_SET_MAC, .server = server_number(number, 0, 0)};

    memcpy(change.mac, server_mac, MAC);
    CHECK(table_change(&world->director.table, &change, 0) == 0);
}

static inline void add_service(struct world *world, struct dr_service service)
{
    CHECK(change(world, DR_ADD_SERVICE, service, (struct dr_server){0}, start_ns) == 0);
}

static inline void add_server(struct world *world, struct dr_service service, uint8_t number,
                              uint32_t weight)
{
    struct dr_server server = server_number(number, service.port, weight);

    CHECK(change(world, DR_ADD_SERVER, service, server, start_ns) == 0);
    know_mac(world, number);
}

static inline struct service *only_service(struct world *world)
{
    return &world->director.table.services[0];
}

/* A frame in a block of exactly its size through the whole of the core. */
static inline enum dr_verdict forward_made(struct world *world, const struct made *made,
                                           uint64_t now_ns)
{
    uint8_t *block = exact(made, made->length);
    struct dr_frame frame = frame_around(block, made);
    enum dr_verdict verdict = forward(&world->director, &frame, now_ns);

    free(block);
    return verdict;
}

/* Every kind of service, with server 1, and a connection from port 7777 over IPv4 and IPv6. */
static inline void furnish(struct world *world)
{
    static const uint8_t protocols[] = {PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP};
    struct made known = tcp_frame(7777, 0x02);
    struct made known6 = tcp6_frame(7777, 0x02);

    for (size_t i = 0; i < sizeof(protocols); i++) {
        struct dr_service service = service_on(protocols[i], 80, "rr");
        struct dr_service service6 = service6_on(protocols[i], 80, "wlc");
        add_service(world, service);
        add_service(world, service6);
        add_server(world, service, 1, 1);
        add_server(world, service6, 1, 1);
    }
    CHECK(forward_made(world, &known, start_ns) == DR_FORWARDED);
    CHECK(forward_made(world, &known6, start_ns) == DR_FORWARDED);
}

/* Sends what had waited for the last frame; how many there were. */
static inline int release_held(struct world *world, uint64_t now_ns)
{
    int count = 0;

    while (forward_held(&world->director, now_ns))
        count++;
    return count;
}

static inline struct flow flow_from(uint16_t client_port, uint16_t port)
{
    struct flow flow = {.client_port = client_port, .port = port, .protocol = PROTOCOL_TCP};

    map_address(flow.client, client_ip);
    map_address(flow.address, vip);
    return flow;
}

#endif
