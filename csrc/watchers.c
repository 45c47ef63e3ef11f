/* watchers.c -- filters, limits, and a ring for each who watches. */
#include "watchers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"

/* A record costs about as much as a decision. So many are made for each that is given out, where
 * the filter needs to see the decision first. */
enum { LOOKS = 50 };

static const uint64_t second_ns = 1000000000;

struct dr_trace {
    struct dr_trace_filter filter;
    struct journal journal;
    uint32_t passed_over; /* frames since the last that was taken */
    uint32_t taken;       /* in the present second */
    uint32_t looked;      /* likewise: records made for it */
    uint64_t second_began_ns;
    uint64_t limited;
};

/* ---- Life ---- */

static void watcher_free(struct dr_trace *watcher)
{
    if (!watcher)
        return;
    journal_close(&watcher->journal);
    free(watcher);
}

int watchers_open(struct watchers *watchers, struct dr_trace **out,
                  const struct dr_trace_filter *filter, uint32_t room)
{
    struct dr_trace **place = watchers->each;

    while (place < watchers->each + DR_TRACES && *place)
        place++;
    if (place == watchers->each + DR_TRACES)
        return -EMFILE;
    struct dr_trace *watcher = calloc(1, sizeof(*watcher));
    if (!watcher)
        return -ENOMEM;
    int result = journal_open(&watcher->journal, room);
    if (result < 0) {
        free(watcher);
        return result;
    }
    watcher->filter = *filter;
    *place = *out = watcher;
    return 0;
}

bool watchers_close(struct watchers *watchers, struct dr_trace *watcher)
{
    for (int i = 0; i < DR_TRACES; i++) {
        if (watchers->each[i] != watcher)
            continue;
        watchers->each[i] = NULL;
        watcher_free(watcher);
        return true;
    }
    return false;
}

void watchers_free(struct watchers *watchers)
{
    for (int i = 0; i < DR_TRACES; i++)
        watcher_free(watchers->each[i]);
}

size_t watcher_read(struct dr_trace *watcher, uint64_t *cursor, struct dr_record *records,
                    size_t room, struct dr_trace_losses *losses)
{
    losses->limited = __atomic_load_n(&watcher->limited, __ATOMIC_RELAXED);
    return journal_read(&watcher->journal, cursor, records, room, &losses->overwritten);
}

/* ---- Who wants this frame? ---- */

static bool is_within(const uint8_t address[ADDRESS], const uint8_t network[ADDRESS],
                      uint32_t prefix)
{
    uint32_t bytes = prefix / 8, bits = prefix % 8;

    if (memcmp(address, network, bytes) != 0)
        return false;
    return bits == 0 || (address[bytes] ^ network[bytes]) >> (8 - bits) == 0;
}

static bool is_for_all(const struct dr_trace_filter *filter)
{
    return filter->client_prefix == 0 && !filter->has_address && filter->protocol == 0;
}

/* A frame without ports may be part of any of that address's services. */
static bool passes(const struct dr_trace_filter *filter, struct sight sight)
{
    if (is_for_all(filter))
        return true;
    if (sight.parsed < DR_PARSED_ADDRESSES)
        return false;
    const struct flow *flow = &sight.packet->flow;
    if (!is_within(flow->client, filter->client, filter->client_prefix))
        return false;
    if (filter->has_address && !is_same_address(flow->address, filter->address))
        return false;
    if (sight.parsed < DR_PARSED_PORTS)
        return true;
    return (filter->protocol == 0 || flow->protocol == filter->protocol) &&
           (filter->port == 0 || flow->port == filter->port);
}

static bool may_look(const struct dr_trace *watcher)
{
    uint32_t most = watcher->filter.per_s;

    return most == 0 || (watcher->taken < most && watcher->looked / LOOKS < most);
}

/* Whether the watcher may have another look in this second. */
static bool look(struct dr_trace *watcher, uint64_t now_ns)
{
    if (now_ns - watcher->second_began_ns >= second_ns) {
        watcher->second_began_ns = now_ns;
        watcher->taken = watcher->looked = 0;
    }
    if (may_look(watcher)) {
        watcher->looked++;
        return true;
    }
    __atomic_store_n(&watcher->limited, watcher->limited + 1, __ATOMIC_RELAXED);
    return false;
}

static bool wants(struct dr_trace *watcher, struct sight sight, uint64_t now_ns)
{
    if (!passes(&watcher->filter, sight) || ++watcher->passed_over < watcher->filter.every)
        return false;
    watcher->passed_over = 0;
    return look(watcher, now_ns);
}

/* What is known only after the decision. */
static bool is_kept(const struct dr_trace_filter *filter, const struct dr_record *record)
{
    if (filter->verdicts != 0 && !(filter->verdicts >> record->verdict & 1))
        return false;
    if (filter->first_only && record->by != DR_BY_SCHEDULER && record->by != DR_BY_TEMPLATE)
        return false;
    return !filter->has_server ||
           (record->has_server && is_same_address(record->server, filter->server));
}

uint32_t watchers_wanting(struct watchers *watchers, struct sight sight, uint64_t now_ns)
{
    uint32_t wanted = 0;

    for (uint32_t i = 0; i < DR_TRACES; i++)
        if (watchers->each[i] && wants(watchers->each[i], sight, now_ns))
            wanted |= 1u << i;
    return wanted;
}

void watchers_take(struct watchers *watchers, uint32_t wanted, const struct dr_record *record)
{
    for (uint32_t i = 0; i < DR_TRACES; i++) {
        struct dr_trace *watcher = watchers->each[i];
        if (!(wanted >> i & 1) || !is_kept(&watcher->filter, record))
            continue;
        watcher->taken++;
        journal_write(&watcher->journal, record);
    }
}

void watchers_passed(struct watchers *watchers, uint32_t frames)
{
    for (uint32_t i = 0; i < DR_TRACES; i++)
        if (watchers->each[i])
            watchers->each[i]->passed_over += frames;
}

uint32_t watchers_quiet(const struct watchers *watchers)
{
    uint32_t quiet = UINT32_MAX;

    for (uint32_t i = 0; i < DR_TRACES; i++) {
        const struct dr_trace *watcher = watchers->each[i];
        if (!watcher)
            continue;
        if (!is_for_all(&watcher->filter) || watcher->passed_over + 1 >= watcher->filter.every)
            return 0;
        uint32_t left = watcher->filter.every - 1 - watcher->passed_over;
        quiet = left < quiet ? left : quiet;
    }
    return quiet == UINT32_MAX ? 0 : quiet;
}
