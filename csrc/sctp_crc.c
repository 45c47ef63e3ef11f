/* sctp_crc.c -- the CRC32c of SCTP (RFC 9260 section 6.8 and appendix A). Pure. */
#include "sctp_crc.h"

#include <string.h>

/* Of four bits, in the reflected order of the appendix. */
static const uint32_t crc_of_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

void finish_sctp(uint8_t *packet, size_t length)
{
    uint32_t crc = UINT32_MAX;

    memset(packet + SCTP_CHECKSUM, 0, sizeof(crc));
    for (size_t i = 0; i < length; i++) {
        crc ^= packet[i];
        crc = crc >> 4 ^ crc_of_nibble[crc & 15];
        crc = crc >> 4 ^ crc_of_nibble[crc & 15];
    }
    crc = ~crc;
    for (size_t i = 0; i < sizeof(crc); i++)
        packet[SCTP_CHECKSUM + i] = (uint8_t)(crc >> 8 * i);
}
