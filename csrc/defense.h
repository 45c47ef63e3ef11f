/* defense.h -- what kernel IPVS does under attack: drop_packet, drop_entry, secure_tcp.
 *
 * Each is a mode of 0 to 3: off, automatic (1 and 2, which is what the kernel makes of 1 while it
 * defends itself), on. Automatic means: while memory is short. In the kernel that is the host's;
 * here it is the room in the connection table too, which is what a flood fills first. */
#ifndef DEFENSE_H
#define DEFENSE_H

#include "connections.h"
#include "dr.h"
#include "table.h"

enum { DEFENSE_MOST_PACKETS = 8 }; /* with more a connection is not one of a flood */

struct defense {
    uint64_t free_pages; /* of the host's memory; 0: not known */
    bool is_secure;      /* secure_tcp is in force */
    bool drops_entries;
    uint32_t
        drop_rate; /* of the packets that would begin something each so-manieth goes; 0: none */
    uint32_t drop_turn;
    uint32_t second;                         /* when last looked at */
    uint32_t next;                           /* the entry to be looked at next */
    uint32_t quota;                          /* entries to be looked at in this second */
    uint8_t turns[DEFENSE_MOST_PACKETS + 1]; /* by a connection's packets */
};

/* What is in force, by the settings and what is free now. */
void defense_adjust(struct defense *defense, const struct dr_tuning *tuning,
                    const struct connections *connections);

/* Once a second: looks again at what is free, and ends entries under drop_entry, at most `budget`
 * looked at in one go; true when there are more. */
bool defense_run(struct defense *defense, const struct dr_tuning *tuning,
                 struct connections *connections, struct table *table, uint32_t tick,
                 uint32_t budget);

/* Whether a packet that would begin a connection is to be dropped; each call counts one. */
bool defense_sheds(struct defense *defense);

#endif
