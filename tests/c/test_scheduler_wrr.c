/* test_scheduler_wrr.c -- wrr counts the rounds that find nobody; it must end where kernel IPVS's
 * loop, which walks them, ends. */
#include "world.h"

enum { MOST = 8, HEAVIEST = 0x7fffffff };

/* ---- The loop, as it is known from the kernel ---- */

static struct server *walked(struct table *table, struct service *service)
{
    struct cursor *cursor = &service->cursor;
    const uint32_t last = cursor->at;
    uint32_t stop = NO_SLOT;
    bool last_pass = false;
    bool restarted = false;

    if (cursor->max_weight == 0)
        return NULL;
    uint32_t slot = last == NO_SLOT ? service->head : table->servers[last].next;
    for (;;) {
        for (; slot != NO_SLOT; slot = table->servers[slot].next) {
            struct server *server = &table->servers[slot];
            bool fits = !server->overloaded && server->config.weight >= cursor->current_weight;
            if (fits || slot == stop) {
                cursor->at = slot;
                return fits ? server : NULL;
            }
        }
        cursor->current_weight -= cursor->divisor;
        if (cursor->current_weight <= 0) {
            cursor->current_weight = cursor->max_weight;
            if (last_pass || last == NO_SLOT) {
                cursor->at = NO_SLOT;
                return NULL;
            }
            restarted = true;
        }
        last_pass = cursor->current_weight <= cursor->divisor;
        if (last_pass && restarted)
            stop = last;
        slot = service->head;
    }
}

/* ---- Both on the same servers ---- */

static uint64_t random_state = 17;

static uint32_t random_below(uint32_t below)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)(random_state >> 33) % below;
}

static struct world world_of(uint8_t count, const uint32_t *weights)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "wrr");

    add_service(&world, web);
    for (uint8_t i = 0; i < count; i++)
        add_server(&world, web, (uint8_t)(i + 1), weights[i]);
    return world;
}

static struct server *counted(struct world *world)
{
    struct service *service = only_service(world);
    struct flow flow = flow_from(1000, 80);

    return scheduler_of(service->config.scheduler)->pick(&world->director.table, service, &flow, 0);
}

/* Picks both ways from here; the cursors must agree afterwards too. */
static void check_pick(struct world *world)
{
    struct service *service = only_service(world);
    struct cursor before = service->cursor;
    struct server *expected = walked(&world->director.table, service);
    struct cursor after = service->cursor;

    service->cursor = before;
    CHECK(counted(world) == expected);
    CHECK(service->cursor.at == after.at);
    CHECK(service->cursor.current_weight == after.current_weight);
}

static void change_something(struct world *world, uint8_t count, uint32_t weight)
{
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "wrr");
    uint8_t number = (uint8_t)(random_below(count) + 1);
    struct dr_server server = server_number(number, 80, weight);

    switch (random_below(4)) {
    case 0:
        CHECK(change(world, DR_EDIT_SERVER, web, server, start_ns) == 0);
        break;
    case 1:
        CHECK(change(world, DR_DELETE_SERVER, web, server, start_ns) == 0);
        CHECK(change(world, DR_ADD_SERVER, web, server, start_ns) == 0);
        break;
    default:
        for (uint8_t i = 0; i < count; i++)
            world->director.table.servers[i].overloaded = random_below(3) == 0;
    }
}

/* Weights are `factor` times a number of `spread` below `top`, so that the loop's rounds can be
 * walked in a test. */
static void check_picks(uint32_t factor, uint32_t top, uint32_t spread)
{
    uint8_t count = (uint8_t)(random_below(MOST) + 1);
    uint32_t weights[MOST];

    for (uint8_t i = 0; i < count; i++)
        weights[i] = (top - random_below(spread)) * factor;
    struct world world = world_of(count, weights);
    for (int i = 0; i < 60; i++) {
        check_pick(&world);
        if (random_below(8) == 0)
            change_something(&world, count, (top - random_below(spread)) * factor);
    }
    world_free(&world);
}

static void it_picks_what_the_loop_picks(void)
{
    static const uint32_t spreads[] = {1, 2, 3, 7, 40, 1000};
    static const uint32_t factors[] = {1, 2, 3, 10, 64, 1000};

    for (int i = 0; i < 3000; i++) {
        uint32_t spread = spreads[random_below(6)];
        check_picks(factors[random_below(6)], spread - 1 + random_below(5), spread);
    }
}

static void it_does_with_the_largest_weights(void)
{
    static const uint32_t factors[] = {1 << 20, 0x7fffff, 1 << 24, 1 << 28, HEAVIEST};

    for (int i = 0; i < 1000; i++) {
        uint32_t factor = factors[random_below(5)];
        uint32_t top = HEAVIEST / factor;
        check_picks(factor, top, top + 1);
    }
}

/* Of weights next to each other the loop has few rounds between two of them. */
static void it_does_from_any_weight_asked_for(void)
{
    for (int i = 0; i < 2000; i++) {
        uint32_t weights[MOST];
        for (int each = 0; each < MOST; each++)
            weights[each] = HEAVIEST - random_below(1000);
        struct world world = world_of(MOST, weights);
        struct service *service = only_service(&world);
        for (int each = 1; each < MOST; each++)
            world.director.table.servers[each].overloaded = random_below(2) == 0;
        service->cursor.at = random_below(MOST + 1) == MOST ? NO_SLOT : random_below(MOST);
        uint32_t depth = random_below(2000);
        service->cursor.current_weight = service->cursor.max_weight - depth;
        if (random_below(2) == 0)
            service->cursor.current_weight = depth + 1;
        check_pick(&world);
        world_free(&world);
    }
}

/* Where the loop would walk two billion rounds for one packet. */
static void rounds_that_find_nobody_cost_nothing(void)
{
    static const uint32_t weights[] = {1, HEAVIEST, 2};
    struct world world = world_of(3, weights);
    struct service *service = only_service(&world);
    struct server *servers = world.director.table.servers;

    service->cursor.at = 1;
    service->cursor.current_weight = HEAVIEST;
    CHECK(counted(&world) == &servers[1]);
    CHECK(service->cursor.current_weight == HEAVIEST - 1);
    servers[1].overloaded = 1;
    CHECK(counted(&world) == &servers[2]);
    CHECK(service->cursor.current_weight == 2);
    CHECK(counted(&world) == &servers[2]);
    CHECK(service->cursor.current_weight == 1);
    CHECK(counted(&world) == &servers[0]);
    CHECK(counted(&world) == &servers[2]);
    CHECK(service->cursor.current_weight == 2);
    servers[0].overloaded = servers[2].overloaded = 1;
    CHECK(counted(&world) == NULL);
    CHECK(service->cursor.at == NO_SLOT && service->cursor.current_weight == HEAVIEST);
    service->cursor.at = 1;
    service->cursor.current_weight = 1;
    CHECK(counted(&world) == NULL);
    CHECK(service->cursor.at == 1 && service->cursor.current_weight == 1);
    world_free(&world);
}

int main(void)
{
    RUN(it_picks_what_the_loop_picks);
    RUN(it_does_with_the_largest_weights);
    RUN(it_does_from_any_weight_asked_for);
    RUN(rounds_that_find_nobody_cost_nothing);
}
