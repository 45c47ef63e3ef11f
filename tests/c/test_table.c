/* test_table.c -- services and servers come, change, go and come back. */
#include <errno.h>

#include "thresholds.h"
#include "world.h"

static const struct dr_server none = {0};

static struct server *first_server(struct world *world)
{
    return &world->director.table.servers[only_service(world)->head];
}

static void what_contradicts_the_table_is_refused_with_its_errno(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_service other = service_on(PROTOCOL_TCP, 81, "rr");
    struct dr_service unknown = service_on(PROTOCOL_TCP, 82, "rr");
    struct dr_service any_port = service_on(PROTOCOL_TCP, 0, "rr");
    struct dr_server server = server_number(1, 80, 1);
    struct dr_server thresholds = {.port = 80, .weight = 1, .upper = 3, .lower = 4};

    unknown.scheduler = 0xff;
    add_service(&world, web);
    CHECK(change(&world, DR_ADD_SERVICE, web, none, start_ns) == -EEXIST);
    CHECK(change(&world, DR_ADD_SERVICE, unknown, none, start_ns) == -ENOENT);
    CHECK(change(&world, DR_ADD_SERVICE, any_port, none, start_ns) == -EINVAL);
    CHECK(change(&world, DR_EDIT_SERVICE, other, none, start_ns) == -ESRCH);
    CHECK(change(&world, DR_DELETE_SERVICE, other, none, start_ns) == -ESRCH);
    CHECK(change(&world, DR_ADD_SERVER, other, server, start_ns) == -ESRCH);
    CHECK(change(&world, DR_EDIT_SERVER, other, server, start_ns) == -ESRCH);
    CHECK(change(&world, DR_DELETE_SERVER, other, server, start_ns) == -ESRCH);
    CHECK(change(&world, DR_EDIT_SERVER, web, server, start_ns) == -ENOENT);
    CHECK(change(&world, DR_DELETE_SERVER, web, server, start_ns) == -ENOENT);
    CHECK(change(&world, DR_ADD_SERVER, web, thresholds, start_ns) == -ERANGE);
    CHECK(change(&world, DR_EDIT_SERVER, web, thresholds, start_ns) == -ERANGE);
    add_server(&world, web, 1, 1);
    CHECK(change(&world, DR_ADD_SERVER, web, server, start_ns) == -EEXIST);
    server.upper = 3;
    server.lower = 4;
    CHECK(change(&world, DR_EDIT_SERVER, web, server, start_ns) == -ERANGE);
    CHECK(change(&world, DR_ADD_SERVER, web, server, start_ns) == -ERANGE);
    CHECK(change(&world, (enum dr_operation)99, web, server, start_ns) == -EINVAL);
    world_free(&world);
}

static void a_refused_edit_changes_nothing(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_server wrong = server_number(1, 80, 9);

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    wrong.lower = 1;
    CHECK(change(&world, DR_EDIT_SERVER, web, wrong, start_ns) == -ERANGE);
    CHECK(first_server(&world)->config.weight == 1);
    web.scheduler = 0xff;
    CHECK(change(&world, DR_EDIT_SERVICE, web, none, start_ns) == -ENOENT);
    CHECK(only_service(&world)->config.scheduler == scheduler_find("rr"));
    world_free(&world);
}

static void the_exact_port_is_found_before_the_service_on_all_ports(void)
{
    struct world world = world_new(8);
    struct table *table = &world.director.table;
    struct flow web = flow_from(1000, 80);
    struct flow mail = flow_from(1000, 25);
    struct flow datagram = flow_from(1000, 25);

    add_service(&world, persistent_on(0, 300));
    add_service(&world, service_on(PROTOCOL_TCP, 80, "rr"));
    datagram.protocol = PROTOCOL_UDP;
    CHECK(table_find(table, &web)->config.port == 80);
    CHECK(table_find(table, &mail)->config.port == 0);
    CHECK(table_find(table, &datagram) == NULL);
    world_free(&world);
}

static void every_service_is_found_however_full_the_index_is(void)
{
    const uint32_t many = 500;
    struct world world =
        world_with((struct dr_limits){.services = many, .servers = 1, .connections = 1});
    struct flow flow = flow_from(1000, 0);

    for (uint32_t port = 1; port <= many; port++)
        add_service(&world, service_on(PROTOCOL_TCP, (uint16_t)port, "wlc"));
    CHECK(change(&world, DR_ADD_SERVICE, service_on(PROTOCOL_UDP, 1, "rr"), none, start_ns) ==
          -ENOSPC);
    for (uint32_t port = 1; port <= many; port++) {
        flow.port = (uint16_t)port;
        CHECK(table_find(&world.director.table, &flow)->config.port == port);
    }
    flow.port = (uint16_t)(many + 1);
    CHECK(table_find(&world.director.table, &flow) == NULL);
    CHECK(table_count_services(&world.director.table) == many);
    world_free(&world);
}

static void the_newest_server_is_first_and_an_edit_moves_nothing(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_server heavier = server_number(1, 80, 9);

    add_service(&world, web);
    for (uint8_t number = 1; number <= 3; number++)
        add_server(&world, web, number, 1);
    CHECK(first_server(&world)->config.address[15] == 13);
    CHECK(change(&world, DR_EDIT_SERVER, web, heavier, start_ns) == 0);
    CHECK(first_server(&world)->config.address[15] == 13);
    CHECK(change(&world, DR_DELETE_SERVER, web, heavier, start_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, heavier, start_ns) == 0);
    CHECK(first_server(&world)->config.address[15] == 11);
    CHECK(table_count_servers(&world.director.table) == 3);
    world_free(&world);
}

static void a_removed_server_comes_back_with_its_counters_for_two_minutes(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_server server = server_number(1, 80, 1);
    const uint64_t last = start_ns + (REMOVED_IDLE_S - 1) * second_ns;
    const uint64_t after = last + REMOVED_IDLE_S * second_ns;

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    first_server(&world)->in.packets = 7;
    CHECK(change(&world, DR_DELETE_SERVER, web, server, start_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, server, last) == 0);
    CHECK(first_server(&world)->in.packets == 7);
    CHECK(server_has_mac(first_server(&world)));
    CHECK(change(&world, DR_DELETE_SERVER, web, server, last) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, server, after) == 0);
    CHECK(first_server(&world)->in.packets == 0);
    world_free(&world);
}

static void a_removed_server_with_connections_is_never_forgotten(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_server server = server_number(1, 80, 1);

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    server_taken(first_server(&world), false);
    CHECK(change(&world, DR_DELETE_SERVER, web, server, start_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, server, start_ns + 86400 * second_ns) == 0);
    CHECK(first_server(&world)->references == 1 && first_server(&world)->inactive == 1);
    world_free(&world);
}

static void a_full_table_makes_room_of_what_is_forgotten(void)
{
    struct world world =
        world_with((struct dr_limits){.services = 1, .servers = 1, .connections = 1});
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_service mail = service_on(PROTOCOL_TCP, 25, "rr");
    struct dr_server first = server_number(1, 80, 1);
    struct dr_server second = server_number(2, 80, 1);
    const uint64_t later = start_ns + REMOVED_IDLE_S * second_ns;

    add_service(&world, web);
    CHECK(change(&world, DR_ADD_SERVER, web, first, start_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, second, start_ns) == -ENOSPC);
    CHECK(change(&world, DR_DELETE_SERVER, web, first, start_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, web, second, later - second_ns) == -ENOSPC);
    CHECK(change(&world, DR_ADD_SERVER, web, second, later) == 0);
    CHECK(change(&world, DR_ADD_SERVICE, mail, none, later) == -ENOSPC);
    CHECK(change(&world, DR_DELETE_SERVICE, web, none, later) == 0);
    CHECK(change(&world, DR_ADD_SERVICE, mail, none, later) == -ENOSPC);
    CHECK(change(&world, DR_ADD_SERVICE, mail, none, later + REMOVED_IDLE_S * second_ns) == 0);
    world_free(&world);
}

static void a_deleted_service_comes_back_empty_and_finds_its_servers_again(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "wrr");
    struct flow flow = flow_from(1000, 80);

    add_service(&world, web);
    add_server(&world, web, 1, 1);
    server_taken(first_server(&world), false);
    CHECK(change(&world, DR_DELETE_SERVICE, web, none, start_ns) == 0);
    CHECK(table_find(&world.director.table, &flow) == NULL);
    CHECK(!table_has_vip(&world.director.table, flow.address));
    CHECK(table_count_servers(&world.director.table) == 0);
    add_service(&world, web);
    CHECK(only_service(&world)->head == NO_SLOT && only_service(&world)->servers == 0);
    add_server(&world, web, 1, 1);
    CHECK(first_server(&world)->references == 1);
    world_free(&world);
}

static void a_mac_address_is_set_on_every_server_with_that_address(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_service tls = service_on(PROTOCOL_TCP, 443, "rr");

    add_service(&world, web);
    add_service(&world, tls);
    CHECK(change(&world, DR_ADD_SERVER, web, server_number(1, 80, 1), start_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, tls, server_number(1, 443, 1), start_ns) == 0);
    CHECK(change(&world, DR_ADD_SERVER, tls, server_number(2, 443, 1), start_ns) == 0);
    know_mac(&world, 1);
    for (uint32_t slot = 0; slot < 3; slot++) {
        const struct server *server = &world.director.table.servers[slot];
        CHECK(server_has_mac(server) == (server->config.address[15] == 11));
    }
    CHECK(change(&world, DR_SET_MAC, web, server_number(1, 0, 0), start_ns) == 0);
    CHECK(!server_has_mac(&world.director.table.servers[0]));
    world_free(&world);
}

/* `upper` connections are taken; the flag goes below `lower`, or below three quarters of `upper`.
 */
static void opens_again_at(uint32_t upper, uint32_t lower, uint32_t open)
{
    struct server server = {.config = {.weight = 1, .upper = upper, .lower = lower}};

    for (uint32_t count = 1; count <= upper; count++) {
        CHECK(server_is_eligible(&server));
        server_taken(&server, false);
    }
    for (uint32_t count = upper; count > open; count--) {
        CHECK(!server_is_eligible(&server));
        server.inactive--;
        server_released(&server, false, 0);
    }
    CHECK(server_is_eligible(&server));
}

static void a_full_server_opens_again_below_its_lower_threshold(void)
{
    opens_again_at(10, 5, 4);
    opens_again_at(8, 0, 5);
    opens_again_at(10, 10, 9);
    opens_again_at(1, 0, 0);
    opens_again_at(1, 1, 0);
    opens_again_at(4, 1, 0);
}

static void templates_do_not_fill_a_server(void)
{
    struct server server = {.config = {.weight = 1, .upper = 1}};

    server_taken(&server, true);
    CHECK(server_is_eligible(&server));
    CHECK(server.persistent == 1 && server.references == 1);
}

static void a_higher_threshold_opens_a_full_server_and_a_lower_one_does_not_close_it(void)
{
    struct world world = world_new(8);
    struct dr_service web = service_on(PROTOCOL_TCP, 80, "rr");
    struct dr_server config = server_number(1, 80, 1);

    config.upper = 2;
    add_service(&world, web);
    CHECK(change(&world, DR_ADD_SERVER, web, config, start_ns) == 0);
    struct server *server = first_server(&world);
    server_taken(server, false);
    server_taken(server, false);
    CHECK(server->overloaded);
    CHECK(change(&world, DR_EDIT_SERVER, web, config, start_ns) == 0);
    CHECK(server->overloaded);
    config.upper = 3;
    CHECK(change(&world, DR_EDIT_SERVER, web, config, start_ns) == 0);
    CHECK(!server->overloaded);
    config.upper = 1;
    CHECK(change(&world, DR_EDIT_SERVER, web, config, start_ns) == 0);
    CHECK(!server->overloaded);
    server_taken(server, false);
    CHECK(server->overloaded);
    config.upper = 0;
    CHECK(change(&world, DR_EDIT_SERVER, web, config, start_ns) == 0);
    CHECK(!server->overloaded);
    world_free(&world);
}

int main(void)
{
    RUN(what_contradicts_the_table_is_refused_with_its_errno);
    RUN(a_refused_edit_changes_nothing);
    RUN(the_exact_port_is_found_before_the_service_on_all_ports);
    RUN(every_service_is_found_however_full_the_index_is);
    RUN(the_newest_server_is_first_and_an_edit_moves_nothing);
    RUN(a_removed_server_comes_back_with_its_counters_for_two_minutes);
    RUN(a_removed_server_with_connections_is_never_forgotten);
    RUN(a_full_table_makes_room_of_what_is_forgotten);
    RUN(a_deleted_service_comes_back_empty_and_finds_its_servers_again);
    RUN(a_mac_address_is_set_on_every_server_with_that_address);
    RUN(a_full_server_opens_again_below_its_lower_threshold);
    RUN(templates_do_not_fill_a_server);
    RUN(a_higher_threshold_opens_a_full_server_and_a_lower_one_does_not_close_it);
}
