/* sync_backup.h -- a backup's side of synchronisation: messages become connections. Bytes come in,
 * from anybody on the network; no socket is known here. */
#ifndef SYNC_BACKUP_H
#define SYNC_BACKUP_H

#include "director.h"

enum sync_received {
    SYNC_TAKEN,
    SYNC_OF_ANOTHER, /* its syncid is not ours */
    SYNC_MALFORMED,  /* what came before the fault counts, as in the kernel */
};

/* `syncid` 0 takes all. */
enum sync_received sync_receive(struct director *director, const uint8_t *bytes, size_t length,
                                uint8_t syncid, uint32_t tick);

#endif
