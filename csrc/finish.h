/* finish.h -- checksums that the sender's offloads left unfinished, for an end that has no way to
 * hand them on unfinished. */
#ifndef FINISH_H
#define FINISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Completes the checksum of a TCP or UDP packet when it holds the sum of the pseudo-header alone,
 * which is what a sender leaves there for its device to go on from. A right checksum is left as it
 * is, and so is a wrong one, but for one in 65,536 that happens to be that sum. True when it has
 * changed the frame. */
bool finish_checksum(uint8_t *frame, size_t length);

#endif
