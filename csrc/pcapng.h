/* pcapng.h -- writes pcapng blocks (draft-ietf-opsawg-pcapng) in this machine's byte order. */
#ifndef PCAPNG_H
#define PCAPNG_H

#include <stddef.h>
#include <stdint.h>

/* The section, and its one interface: Ethernet, time stamps in nanoseconds. */
size_t pcapng_begin(uint8_t *out, size_t room);

/* A frame with a comment, which may be empty. 0: there is no room for it. */
size_t pcapng_frame(uint8_t *out, size_t room, const uint8_t *bytes, uint32_t captured,
                    uint32_t length, uint64_t time_ns, const char *comment, size_t comment_length);

#endif
