/* journal.c -- the ring behind traces and the flight recorder. */
#include "journal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORDS = sizeof(struct dr_record) / sizeof(uint64_t),
    LINE = 64,     /* bytes, of the cache */
    FETCHED = 320, /* bytes: the record of a short frame */
};

_Static_assert(sizeof(struct dr_record) % sizeof(uint64_t) == 0, "a record is copied by words");

struct journal_slot {
    uint64_t sequence;
    uint64_t words[WORDS];
};

int journal_open(struct journal *journal, uint32_t room)
{
    if (room == 0 || room & (room - 1))
        return -EINVAL;
    *journal = (struct journal){.room = room, .slots = calloc(room, sizeof(struct journal_slot))};
    return journal->slots ? 0 : -ENOMEM;
}

void journal_close(struct journal *journal)
{
    free(journal->slots);
    journal->slots = NULL;
}

static struct journal_slot *slot_of(const struct journal *journal, uint64_t number)
{
    return &journal->slots[number & (journal->room - 1)];
}

/* Each word is released, so whoever sees one of them sees the odd sequence too. */
static void write_words(struct journal_slot *slot, const struct dr_record *record, size_t begin,
                        size_t end)
{
    for (size_t at = begin; at < end; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)record + at, sizeof(word));
        __atomic_store_n(&slot->words[at / sizeof(word)], word, __ATOMIC_RELEASE);
    }
}

/* The next record's place, which no cache holds: without it the writer waits for each line. */
static void fetch_slot(const struct journal_slot *slot)
{
    const uint8_t *bytes = (const uint8_t *)slot;

    for (size_t at = 0; at < FETCHED; at += LINE)
        __builtin_prefetch(bytes + at, 1);
}

/* What a record does not use is not copied: bytes of the frame and candidates are most of it. */
void journal_write(struct journal *journal, const struct dr_record *record)
{
    uint64_t number = journal->written;
    struct journal_slot *slot = slot_of(journal, number);
    size_t count =
        record->candidate_count < DR_CANDIDATES ? record->candidate_count : DR_CANDIDATES;
    const size_t bytes = offsetof(struct dr_record, bytes);
    const size_t candidates = offsetof(struct dr_record, candidates);

    __atomic_store_n(&slot->sequence, 2 * number + 1, __ATOMIC_RELAXED);
    write_words(slot, record, 0, bytes + record->captured);
    write_words(slot, record, candidates, candidates + count * sizeof(struct dr_candidate));
    __atomic_store_n(&slot->sequence, 2 * number + 2, __ATOMIC_RELEASE);
    __atomic_store_n(&journal->written, number + 1, __ATOMIC_RELEASE);
    fetch_slot(slot_of(journal, number + 1));
}

/* False when the record was overwritten meanwhile. */
static bool copy(const struct journal *journal, uint64_t number, struct dr_record *record)
{
    const struct journal_slot *slot = slot_of(journal, number);

    if (__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) != 2 * number + 2)
        return false;
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = __atomic_load_n(&slot->words[i], __ATOMIC_ACQUIRE);
        memcpy((uint8_t *)record + i * sizeof(word), &word, sizeof(word));
    }
    return __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) == 2 * number + 2;
}

size_t journal_read(const struct journal *journal, uint64_t *cursor, struct dr_record *records,
                    size_t room, uint64_t *overwritten)
{
    uint64_t written = __atomic_load_n(&journal->written, __ATOMIC_ACQUIRE);
    size_t count = 0;

    if (written - *cursor > journal->room) {
        *overwritten += written - journal->room - *cursor;
        *cursor = written - journal->room;
    }
    for (; *cursor < written && count < room; ++*cursor) {
        if (copy(journal, *cursor, &records[count]))
            count++;
        else
            ++*overwritten;
    }
    return count;
}
