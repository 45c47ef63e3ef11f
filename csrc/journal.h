/* journal.h -- a ring of records that one thread writes and anybody reads, without a lock.
 *
 * A slot's sequence is odd while it is written and names the record when it is whole. A reader
 * that was overtaken sees that and counts what it missed. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include "dr_trace.h"

struct journal_slot;

struct journal {
    uint64_t written; /* records ever; by the writer */
    uint32_t room;    /* a power of two */
    struct journal_slot *slots;
};

int journal_open(struct journal *journal, uint32_t room);
void journal_close(struct journal *journal);

void journal_write(struct journal *journal, const struct dr_record *record);

/* Records from number *cursor on, which it moves; adds to *overwritten what is gone. */
size_t journal_read(const struct journal *journal, uint64_t *cursor, struct dr_record *records,
                    size_t room, uint64_t *overwritten);

#endif
