/* sctp_crc.h -- the checksum of SCTP, which its sender's offloads left unfinished. */
#ifndef SCTP_CRC_H
#define SCTP_CRC_H

#include <stddef.h>
#include <stdint.h>

enum {
    SCTP_CHECKSUM = 8, /* where it is in the common header (RFC 9260 section 3.1) */
    SCTP_HEADER = 12,
};

/* Writes the CRC32c of an SCTP packet, at least its common header, from that header to the end. */
void finish_sctp(uint8_t *packet, size_t length);

#endif
