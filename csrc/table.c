/* table.c -- which service a flow belongs to. */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schedulers/schedulers.h"

enum { FTP = 21, FTP_DATA = 20 };

/* ---- The index: which service is on an address and port ---- */

static uint32_t hash_bytes(uint32_t hash, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ bytes[i]) * 0x01000193; /* FNV-1a: services are few and ours to choose */
    return hash;
}

static uint32_t hash_address(const uint8_t address[ADDRESS])
{
    return hash_bytes(0x811c9dc5, address, ADDRESS);
}

static uint32_t hash_endpoint(uint8_t protocol, const uint8_t address[ADDRESS], uint16_t port)
{
    const uint8_t rest[3] = {protocol, (uint8_t)(port >> 8), (uint8_t)port};

    return hash_bytes(hash_address(address), rest, sizeof(rest));
}

bool service_is(const struct service *service, uint8_t protocol, const uint8_t address[ADDRESS],
                uint16_t port)
{
    return service->config.protocol == protocol && service->config.port == port &&
           memcmp(service->config.address, address, ADDRESS) == 0;
}

static void index_put(uint16_t *index, uint32_t mask, uint32_t hash, uint32_t slot)
{
    while (index[hash & mask] != NO_SLOT)
        hash++;
    index[hash & mask] = (uint16_t)slot;
}

static bool has_service(const struct table *table, const uint8_t address[ADDRESS])
{
    for (uint32_t hash = hash_address(address);; hash++) {
        uint32_t slot = table->by_address[hash & table->index_mask];
        if (slot == NO_SLOT)
            return false;
        if (memcmp(table->services[slot].config.address, address, ADDRESS) == 0)
            return true;
    }
}

void table_index(struct table *table, const struct service *service)
{
    const struct dr_service *config = &service->config;
    uint32_t slot = (uint32_t)(service - table->services);

    table->any_port += config->port == 0 && config->protocol != PROTOCOL_ANY;
    table->ftp += config->port == FTP;
    index_put(table->by_endpoint, table->index_mask,
              hash_endpoint(config->protocol, config->address, config->port), slot);
    if (config->protocol != PROTOCOL_ANY && !has_service(table, config->address))
        index_put(table->by_address, table->index_mask, hash_address(config->address), slot);
}

void table_reindex(struct table *table)
{
    size_t bytes = (table->index_mask + 1) * sizeof(*table->by_endpoint);

    memset(table->by_endpoint, 0xff, bytes);
    memset(table->by_address, 0xff, bytes);
    table->any_port = 0;
    table->ftp = 0;
    for (uint32_t slot = 0; slot < table->service_room; slot++)
        if (table->services[slot].use == SLOT_LISTED)
            table_index(table, &table->services[slot]);
}

/* The services of an adopted region have their schedulers' cursors, but no memory yet. */
static int attach_schedulers(struct table *table)
{
    int result = 0;

    for (uint32_t slot = 0; slot < table->service_room && result == 0; slot++)
        if (table->services[slot].use == SLOT_LISTED)
            result = scheduler_attach(table, &table->services[slot],
                                      table->services[slot].config.scheduler);
    return result;
}

static void find_tops(struct table *table)
{
    for (uint32_t slot = 0; slot < table->service_room; slot++)
        if (table->services[slot].use != SLOT_FREE)
            table->service_top = slot + 1;
    for (uint32_t slot = 0; slot < table->server_room; slot++)
        if (table->servers[slot].use != SLOT_FREE)
            table->server_top = slot + 1;
}

static void list_foreign(struct table *table)
{
    table->foreign = NO_SLOT;
    for (uint32_t slot = 0; slot < table->server_room; slot++) {
        if (table->servers[slot].use != SLOT_FOREIGN)
            continue;
        table->servers[slot].next = table->foreign;
        table->foreign = slot;
    }
}

int table_open(struct table *table)
{
    uint32_t size = 16;

    list_foreign(table);
    while (size < table->service_room * 2)
        size *= 2;
    table->index_mask = size - 1;
    table->by_endpoint = malloc(size * sizeof(*table->by_endpoint));
    table->by_address = malloc(size * sizeof(*table->by_address));
    table->memory = calloc(table->service_room, sizeof(*table->memory));
    int result = -ENOMEM;
    if (table->by_endpoint && table->by_address && table->memory)
        result = attach_schedulers(table);
    if (result < 0)
        table_close(table);
    else
        table_reindex(table);
    find_tops(table);
    return result;
}

void table_close(struct table *table)
{
    for (uint32_t slot = 0; table->memory && slot < table->service_room; slot++)
        free(table->memory[slot]);
    free(table->memory);
    free(table->by_endpoint);
    free(table->by_address);
    free(table->marks);
    table->marks = NULL;
    table->memory = NULL;
    table->by_endpoint = NULL;
    table->by_address = NULL;
}

struct service *table_find_service(const struct table *table, uint8_t protocol,
                                   const uint8_t address[ADDRESS], uint16_t port)
{
    for (uint32_t hash = hash_endpoint(protocol, address, port);; hash++) {
        uint32_t slot = table->by_endpoint[hash & table->index_mask];
        if (slot == NO_SLOT)
            return NULL;
        if (service_is(&table->services[slot], protocol, address, port))
            return &table->services[slot];
    }
}

/* ---- Firewall marks ---- */

static bool has_prefix(const struct dr_mark *mark, const uint8_t address[ADDRESS])
{
    size_t whole = mark->prefix / 8;
    uint8_t rest = (uint8_t)(0xff00 >> mark->prefix % 8);

    if (memcmp(mark->address, address, whole) != 0)
        return false;
    return mark->prefix % 8 == 0 || ((mark->address[whole] ^ address[whole]) & rest) == 0;
}

static bool is_marked(const struct dr_mark *mark, const struct flow *flow)
{
    return (mark->protocol == PROTOCOL_ANY || mark->protocol == flow->protocol) &&
           flow->port >= mark->first_port && flow->port <= mark->last_port &&
           has_prefix(mark, flow->address);
}

uint32_t table_mark(const struct table *table, const struct flow *flow)
{
    for (size_t i = 0; i < table->mark_count; i++)
        if (is_marked(&table->marks[i], flow))
            return table->marks[i].mark;
    return 0;
}

/* A mark's service is kept under the mark as an address, as kernel IPVS lists its templates. */
static struct service *service_of_mark(const struct table *table, const struct flow *flow,
                                       uint32_t mark)
{
    uint8_t name[ADDRESS] = {0};

    if (is_ipv4(flow->address))
        name[10] = name[11] = 0xff;
    write32(name + 12, mark);
    return table_find_service(table, PROTOCOL_ANY, name, 0);
}

int table_set_marks(struct table *table, const struct dr_mark *marks, size_t count)
{
    struct dr_mark *copy = malloc((count + 1) * sizeof(*copy));

    if (!copy)
        return -ENOMEM;
    memcpy(copy, marks, count * sizeof(*copy));
    free(table->marks);
    table->marks = copy;
    table->mark_count = count;
    return 0;
}

/* ---- Finding ---- */

static bool may_be_ftp_data(const struct flow *flow)
{
    return flow->protocol == PROTOCOL_TCP && (flow->port == FTP_DATA || flow->port >= 1024);
}

/* The kernel's order: a mark, the exact port, FTP's other ports, the service on all ports. */
struct service *table_find_marked(const struct table *table, const struct flow *flow, uint32_t mark)
{
    struct service *service = NULL;

    if (mark)
        service = service_of_mark(table, flow, mark);
    if (!service)
        service = table_find_service(table, flow->protocol, flow->address, flow->port);
    if (!service && table->ftp && may_be_ftp_data(flow))
        service = table_find_service(table, PROTOCOL_TCP, flow->address, FTP);
    if (!service && table->any_port)
        service = table_find_service(table, flow->protocol, flow->address, 0);
    return service;
}

struct service *table_find(const struct table *table, const struct flow *flow)
{
    return table_find_marked(table, flow, table->mark_count ? table_mark(table, flow) : 0);
}

static bool has_mark(const struct table *table, const uint8_t address[ADDRESS], uint8_t prefix)
{
    for (size_t i = 0; i < table->mark_count; i++)
        if (table->marks[i].prefix >= prefix && has_prefix(&table->marks[i], address))
            return true;
    return false;
}

bool table_has_vip(const struct table *table, const uint8_t address[ADDRESS])
{
    return has_service(table, address) || has_mark(table, address, 128);
}

bool table_serves(const struct table *table, const uint8_t address[ADDRESS])
{
    return has_service(table, address) || has_mark(table, address, 0);
}

bool table_has_family(const struct table *table, bool ipv4)
{
    for (uint32_t slot = 0; slot < table->service_room; slot++)
        if (table->services[slot].use == SLOT_LISTED &&
            is_ipv4(table->services[slot].config.address) == ipv4)
            return true;
    return false;
}

uint32_t table_count_services(const struct table *table)
{
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < table->service_room; slot++)
        count += table->services[slot].use == SLOT_LISTED;
    return count;
}

uint32_t table_count_servers(const struct table *table)
{
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < table->service_room; slot++)
        if (table->services[slot].use == SLOT_LISTED)
            count += table->services[slot].servers;
    return count;
}
