/* fuzz_frame.c -- any bytes as a frame: the parser and the whole decision, on an exact copy. */
#include "expect.h"
#include "invariants.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SMALL_MTU = 72 }; /* so that short inputs are too long */

static void parse_alone(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    struct packet packet;
    struct flow flow;

    if (size > 0)
        memcpy(copy, data, size);
    packet_parse(copy, size, &packet);
    packet_parse_quoted(copy, size, 4, &flow);
    packet_parse_quoted(copy, size, 6, &flow);
    CHECK(size == 0 || memcmp(copy, data, size) == 0);
    free(copy);
}

static void decide(struct world *world, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    struct dr_frame frame = {.data = copy, .length = (uint32_t)size, .captured = (uint32_t)size};

    if (size > 0)
        memcpy(copy, data, size);
    enum dr_verdict verdict = forward(&world->director, &frame, start_ns);
    world->director.stats->verdicts[verdict]++;
    expect(data, copy, size, &frame, verdict, world->director.tuning.decrement_ttl);
    release_held(world, start_ns);
    free(copy);
}

static void try_with(struct world *world, const struct dr_tuning *tuning, uint32_t mtu,
                     const uint8_t *data, size_t size)
{
    world->director.tuning = *tuning;
    defense_adjust(&world->director.defense, tuning, &world->director.connections);
    world->director.identity.mtu = mtu;
    decide(world, data, size);
}

/* The same bytes within a VLAN of two tags. */
static void try_tagged(struct world *world, const uint8_t *data, size_t size)
{
    static const uint8_t tags[8] = {0x88, 0xa8, 0, 200, 0x81, 0, 0xe0, 100};
    uint8_t *tagged = malloc(size + sizeof(tags));
    size_t before = size < 12 ? size : 12;

    if (before > 0)
        memcpy(tagged, data, before);
    memcpy(tagged + before, tags, sizeof(tags));
    if (size > before)
        memcpy(tagged + before + sizeof(tags), data + before, size - before);
    world->director.identity.vlan = 200 << 12 | 100;
    decide(world, tagged, size + sizeof(tags));
    free(tagged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dr_tuning usual = {.conn_reuse_mode = 1, .icmp_ratelimit = 1000};
    static const struct dr_tuning unusual = {
        .conn_reuse_mode = 2,
        .expire_nodest_conn = 1,
        .sloppy_tcp = 1,
        .sloppy_sctp = 1,
        .schedule_icmp = 1,
        .secure_tcp = 3,
        .decrement_ttl = 1,
    };
    struct world world = world_new(6);
    struct dr_mark mark = {.prefix = 96 + 24, .first_port = 82, .last_port = 90, .mark = 7};

    parse_alone(data, size);
    furnish(&world);
    add_service(&world, service_on(PROTOCOL_TCP, 81, "rr"));
    map_address(mark.address, vip);
    CHECK(table_set_marks(&world.director.table, &mark, 1) == 0);
    try_with(&world, &usual, 1500, data, size);
    try_with(&world, &unusual, 1500, data, size);
    try_with(&world, &unusual, SMALL_MTU, data, size);
    try_tagged(&world, data, size);
    check_all(&world.director.connections, &world.director.table);
    world_free(&world);
    return 0;
}
