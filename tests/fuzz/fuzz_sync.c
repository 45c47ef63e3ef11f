/* fuzz_sync.c -- any bytes as what a master says: datagrams to a backup, each on an exact copy, and
 * a minute between any two. The first byte says how; before each datagram there is its length. */
#include "invariants.h"
#include "sync_backup.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    REPAIR = 1,   /* the length in the header is made right: it would have to be guessed */
    IS_PAIR = 2,  /* only one syncid is listened to */
    ONE_PAIR = 5, /* that one */
    MINUTE_S = 60,
};

static void receive(struct world *world, const uint8_t *data, size_t size, uint8_t how,
                    uint64_t now_ns)
{
    uint8_t *copy = malloc(size ? size : 1);
    uint64_t before = world->director.sync_stats.learnt;

    CHECK(copy);
    if (size > 0)
        memcpy(copy, data, size);
    if (how & REPAIR && size >= 4)
        write16(copy + 2, (uint16_t)size);
    uint8_t syncid = how & IS_PAIR ? ONE_PAIR : 0;
    enum sync_received received =
        sync_receive(&world->director, copy, size, syncid, tick_of(now_ns));
    CHECK(received != SYNC_OF_ANOTHER || (syncid != 0 && copy[1] != syncid));
    CHECK(received != SYNC_OF_ANOTHER || world->director.sync_stats.learnt == before);
    free(copy);
    check_all(&world->director.connections, &world->director.table);
}

/* What was learnt is used, listed by its server, and ends. */
static void use(struct world *world, uint64_t now_ns)
{
    struct made frames[] = {tcp_frame(1000, 0x10), tcp6_frame(1000, 0x10), udp_frame(1000),
                            udp6_frame(1000)};

    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
        forward_made(world, &frames[i], now_ns);
    check_all(&world->director.connections, &world->director.table);
}

static void expire(struct world *world, uint64_t now_ns)
{
    struct director *director = &world->director;

    while (connections_expire(&director->connections, &director->table, tick_of(now_ns), 64))
        ;
    check_all(&director->connections, &director->table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = world_new(6);
    uint64_t now_ns = start_ns;
    uint8_t how = size > 0 ? data[0] : 0;

    furnish(&world);
    for (size_t at = 1; at < size;) {
        size_t length = data[at++];
        if (length > size - at)
            length = size - at;
        receive(&world, data + at, length, how, now_ns);
        use(&world, now_ns);
        at += length;
        now_ns += MINUTE_S * second_ns;
        expire(&world, now_ns);
    }
    world_free(&world);
    return 0;
}
