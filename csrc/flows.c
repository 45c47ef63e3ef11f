/* flows.c -- a set-associative table. */
#include "flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 4 };

int flows_open(struct flows *flows, uint32_t room)
{
    if (room < WAYS || room & (room - 1))
        return -EINVAL;
    *flows = (struct flows){
        .entries = calloc(room, sizeof(struct flow_server)),
        .mask = room - 1,
    };
    return flows->entries ? 0 : -ENOMEM;
}

void flows_close(struct flows *flows)
{
    free(flows->entries);
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    unsigned __int128 product = (unsigned __int128)(hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t name_of(const struct dr_record *record)
{
    uint64_t words[4];
    uint64_t rest =
        (uint64_t)record->client_port << 32 | (uint64_t)record->port << 16 | record->protocol;
    uint64_t hash = UINT64_C(0xc2b2ae3d27d4eb4f);

    memcpy(words, record->client, 16);
    memcpy(words + 2, record->address, 16);
    for (int i = 0; i < 4; i++)
        hash = mix(hash + (uint64_t)i, words[i]);
    hash = mix(hash, rest);
    return hash ? hash : 1;
}

bool flows_note(struct flows *flows, const struct dr_record *record, uint8_t before[16])
{
    uint64_t name = name_of(record);
    struct flow_server *set = &flows->entries[name & flows->mask & ~(uint64_t)(WAYS - 1)];
    struct flow_server *entry = NULL;

    for (int way = 0; way < WAYS && !entry; way++)
        if (set[way].name == name || set[way].name == 0)
            entry = &set[way];
    if (!entry) {
        entry = &set[flows->forgotten++ % WAYS];
        entry->name = 0;
    }
    bool is_known = entry->name == name;
    bool is_changed = is_known && memcmp(entry->server, record->server, 16) != 0;
    if (is_changed)
        memcpy(before, entry->server, 16);
    flows->known += !is_known;
    entry->name = name;
    memcpy(entry->server, record->server, 16);
    return is_changed;
}
