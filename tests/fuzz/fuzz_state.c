/* fuzz_state.c -- any bytes in a state file: a region with everything in it, some of whose bytes
 * are exchanged, is adopted. Then its tables agree, and go on agreeing under frames, changes and
 * time.
 *
 * The first byte says which clock it meets, which scheduler comes later, and whether the state is
 * converted to another size first. Then each five bytes are one injury: where (two, from the
 * beginning), how, and with what (two). */
#include <stdlib.h>

#include "changes.h"
#include "expect.h"
#include "foreign.h"
#include "invariants.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 24, INJURY = 5 };

enum how { SET_BYTE, FLIP, SET_HALF, SET_WORD, COPY_ENTRY, FILL, LONG_TIME, HOWS };

static const uint64_t day_ns = 86400 * (uint64_t)1000000000;

static struct dr_service mark_service(void)
{
    struct dr_service service = service_on(PROTOCOL_ANY, 0, "sed");

    service.address[12] = service.address[13] = service.address[14] = 0;
    service.address[15] = 7;
    return service;
}

/* Every kind of service, server, template and connection, on lists of more than one. */
static void populate(struct world *world)
{
    struct dr_service sticky = persistent_on(443, 300);
    struct dr_service weighted = service_on(PROTOCOL_TCP, 81, "wrr");
    struct made frames[] = {tcp_frame(1000, TCP_SYN), udp_frame(1000),
                            sctp_frame(1000, 1, 0),   udp6_frame(1000),
                            tcp_frame(1001, TCP_SYN), tcp_frame(1002, TCP_SYN)};

    furnish(world);
    add_service(world, sticky);
    add_service(world, weighted);
    add_service(world, mark_service());
    for (uint8_t number = 1; number <= 3; number++) {
        add_server(world, sticky, number, 1);
        add_server(world, weighted, number, 2 * number);
    }
    write16(frames[4].bytes + 36, 443);
    write16(frames[5].bytes + 36, 81);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
        forward_made(world, &frames[i], start_ns);
    CHECK(change(world, DR_DELETE_SERVER, weighted, server_number(2, 81, 0), start_ns) == 0);
    struct dr_server limited = server_number(3, 443, 1);
    limited.upper = 1;
    CHECK(change(world, DR_EDIT_SERVER, sticky, limited, start_ns) == 0);
    const uint8_t elsewhere[ADDRESS] = {0xfd, 9, [15] = 9};
    CHECK(foreign_server(&world->director.table, elsewhere, 80, 1));
    check_all(&world->director.connections, &world->director.table);
}

/* One that was populated once, and is given out as a copy. */
static struct world populated(void)
{
    static uint8_t *contents;
    struct world world = world_with((struct dr_limits){.services = 12,
                                                       .servers = 20,
                                                       .connections = ROOM,
                                                       .fragments = 1,
                                                       .seeds = {0x5eed7, 0x7deed}});

    if (!contents) {
        struct world first = world_with(world.limits);
        populate(&first);
        contents = malloc(first.size);
        CHECK(contents);
        memcpy(contents, first.region, first.size);
        world_free(&first);
    }
    memcpy(world.region, contents, world.size);
    return world;
}

/* A look at where the parts are costs nothing and lets an injury mean something. */
static void injure(struct world *world, const uint8_t *injury)
{
    uint8_t *bytes = world->region;
    size_t at = ((size_t)injury[0] | (size_t)injury[1] << 8) % (world->size - 8);
    uint16_t value = (uint16_t)(injury[3] | injury[4] << 8);
    uint32_t word = value;
    struct connection *entries = world->director.connections.entries;

    switch (injury[2] % HOWS) {
    case SET_BYTE:
        bytes[at] = injury[3];
        break;
    case FLIP:
        bytes[at] ^= (uint8_t)(1 << injury[3] % 8);
        break;
    case SET_HALF:
        memcpy(bytes + at, &value, sizeof(value));
        break;
    case SET_WORD:
        word |= injury[4] & 0x80 ? 0xffff0000 : 0;
        memcpy(bytes + at, &word, sizeof(word));
        break;
    case COPY_ENTRY:
        entries[injury[0] % (ROOM + 1)] = entries[injury[1] % (ROOM + 1)];
        break;
    case FILL:
        for (size_t i = at; i < at + value % 512 && i < world->size; i++)
            bytes[i] = injury[4];
        break;
    case LONG_TIME:
        memset(bytes + at, 0xff, 8);
        break;
    }
}

static void drive(struct world *world, uint64_t now_ns)
{
    struct made frames[] = {tcp_frame(1000, TCP_ACK),  tcp_frame(7777, TCP_ACK),
                            tcp6_frame(7777, TCP_ACK), udp_frame(1000),
                            sctp_frame(1000, 7, 0),    tcp_frame(2000, TCP_SYN),
                            tcp_frame(2001, TCP_SYN),  tcp_frame(2002, TCP_SYN)};

    write16(frames[6].bytes + 36, 443);
    write16(frames[7].bytes + 36, 81);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
        forward_made(world, &frames[i], now_ns);
    check_all(&world->director.connections, &world->director.table);
}

static void run_timers(struct world *world, uint64_t now_ns)
{
    struct director *director = &world->director;

    while (connections_expire(&director->connections, &director->table, tick_of(now_ns), 64))
        ;
    while (connections_sweep(&director->connections, &director->table, true, tick_of(now_ns), 64))
        ;
    while (rates_run(&director->table, false, now_ns, 64))
        ;
    check_entries(&director->connections);
}

static void rearrange(struct world *world, const char *scheduler, uint64_t now_ns)
{
    struct dr_service weighted = service_on(PROTOCOL_TCP, 81, "wrr");
    struct dr_service hashed = service_on(PROTOCOL_TCP, 80, scheduler);

    change(world, DR_ADD_SERVICE, weighted, (struct dr_server){0}, now_ns);
    change(world, DR_ADD_SERVER, weighted, server_number(2, 81, 3), now_ns);
    change(world, DR_EDIT_SERVICE, hashed, (struct dr_server){0}, now_ns);
    change(world, DR_DELETE_SERVER, hashed, server_number(1, 80, 0), now_ns);
    change(world, DR_ADD_SERVER, hashed, server_number(4, 80, 1), now_ns);
    change(world, DR_DELETE_SERVICE, persistent_on(443, 300), (struct dr_server){0}, now_ns);
    check_all(&world->director.connections, &world->director.table);
    connections_sweep_begin(&world->director.connections, tick_of(now_ns) - 1);
}

/* As in the file's next process; false: it is not adopted. */
static bool adopt(struct world *world, uint64_t now_ns)
{
    struct director *director = &world->director;

    table_close(&director->table);
    if (state_map(director, world->region, world->size, &world->limits, now_ns) != STATE_ADOPTED)
        return false;
    CHECK(table_open(&director->table) == 0);
    check_all(&director->connections, &director->table);
    return true;
}

/* Into a region of another size, which then takes the place of the first. */
static void convert(struct world *world, uint32_t room, uint64_t now_ns)
{
    struct dr_limits limits = world->limits;
    struct dr_adoption adoption;

    limits.connections = room;
    limits.servers += 3;
    size_t size = state_size(&limits);
    void *region = calloc(1, size);
    CHECK(region);
    if (dr_state_convert(world->region, world->size, region, size, &limits, now_ns, &adoption) <
        0) {
        free(region);
        return;
    }
    CHECK(adoption.connections <= room);
    free(world->region);
    world->region = region;
    world->size = size;
    world->limits = limits;
}

static void use(struct world *world, const char *scheduler, uint64_t now_ns)
{
    static const uint64_t steps_ns[] = {0, 300 * (uint64_t)1000000, 70 * (uint64_t)1000000000,
                                        3600 * (uint64_t)1000000000};

    for (size_t i = 0; i < sizeof(steps_ns) / sizeof(steps_ns[0]); i++) {
        now_ns += steps_ns[i];
        run_timers(world, now_ns);
        drive(world, now_ns);
        if (i == 1)
            rearrange(world, scheduler, now_ns);
    }
    now_ns += 60 * day_ns;
    run_timers(world, now_ns);
    check_timers(&world->director.connections, tick_of(now_ns));
    CHECK(adopt(world, now_ns));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = populated();
    uint64_t now_ns = start_ns;

    if (size > 0 && data[0] & 1)
        now_ns += (data[0] >> 1) * day_ns;
    else if (size > 0)
        now_ns -= (data[0] >> 1) * (day_ns / 8);
    for (size_t at = 1; at + INJURY <= size && at < 64 * INJURY; at += INJURY)
        injure(&world, data + at);
    if (size > 0 && data[0] % 4 == 0)
        convert(&world, data[0] % 8 == 0 ? 9 : 60, now_ns);
    if (adopt(&world, now_ns))
        use(&world, size > 0 && data[0] >= 0xf0 ? "mh" : "sh", now_ns);
    world_free(&world);
    return 0;
}
