/* fuzz_frame.c -- any bytes as a frame: the parser and the whole decision, on an exact copy. */
#include "invariants.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_alone(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    struct packet packet;

    if (size > 0)
        memcpy(copy, data, size);
    packet_parse(copy, size, &packet);
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
    CHECK(verdict < DR_VERDICTS && verdict != DR_SEND_FAILED);
    CHECK(frame.length == size);
    if (verdict == DR_FORWARDED)
        CHECK(memcmp(copy + 12, data + 12, size - 12) == 0);
    else if (verdict != DR_ANSWERED)
        CHECK(size == 0 || memcmp(copy, data, size) == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = world_new(4);
    struct dr_service web = persistent_on(80, 300);
    struct dr_service datagrams = service_on(PROTOCOL_UDP, 80, "wlc");

    parse_alone(data, size);
    add_service(&world, web);
    add_service(&world, datagrams);
    add_server(&world, web, 1, 1);
    add_server(&world, datagrams, 1, 1);
    decide(&world, data, size);
    decide(&world, data, size);
    check_all(&world.director.connections, &world.director.table);
    world_free(&world);
    return 0;
}
