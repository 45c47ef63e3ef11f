/* watchers.h -- who wants to see records: of which frames, and how many a second. */
#ifndef WATCHERS_H
#define WATCHERS_H

#include <stdbool.h>

#include "dr_trace.h"
#include "packet.h"

/* What forward_look() made of a frame; `packet` is valid as far as `parsed` says. */
struct sight {
    const struct packet *packet;
    enum dr_parsed parsed;
};

struct watchers {
    struct dr_trace *each[DR_TRACES]; /* NULL: nobody */
};

int watchers_open(struct watchers *watchers, struct dr_trace **out,
                  const struct dr_trace_filter *filter, uint32_t room);
bool watchers_close(struct watchers *watchers, struct dr_trace *watcher);
void watchers_free(struct watchers *watchers);
size_t watcher_read(struct dr_trace *watcher, uint64_t *cursor, struct dr_record *records,
                    size_t room, struct dr_trace_losses *losses);

/* A bit for each who may want a record of this frame, which watchers_take() then gives to those
 * that still do. */
uint32_t watchers_wanting(struct watchers *watchers, struct sight sight, uint64_t now_ns);
void watchers_take(struct watchers *watchers, uint32_t wanted, const struct dr_record *record);

/* So many frames from here on, nobody wants one: where one in many is asked for, and every frame
 * counts. When frames went by without a look, watchers_passed() says how many. */
uint32_t watchers_quiet(const struct watchers *watchers);
void watchers_passed(struct watchers *watchers, uint32_t frames);

#endif
