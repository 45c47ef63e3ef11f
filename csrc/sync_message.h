/* sync_message.h -- kernel IPVS's synchronisation messages: bytes to entries and back, of version 1
 * and of version 0. Nothing here knows a table. */
#ifndef SYNC_MESSAGE_H
#define SYNC_MESSAGE_H

#include "packet.h"

/* The kernel's flag word of a connection, include/uapi/linux/ip_vs.h. */
enum sync_flag {
    SYNC_DIRECT_ROUTING = 0x3,
    SYNC_METHOD = 0x7, /* a mask: by which of the methods it forwards */
    SYNC_LEARNT = 0x20,
    SYNC_NO_OUTPUT = 0x80,
    SYNC_INACTIVE = 0x100,
    SYNC_SEQUENCE = 0x600, /* a mask: of the two directions */
    SYNC_NO_CLIENT_PORT = 0x800,
    SYNC_TEMPLATE = 0x1000,
    SYNC_ONE_PACKET = 0x2000,
};

enum {
    SYNC_HEADER = 8,
    SYNC_HEADER_V0 = 4,
    SYNC_MOST_ENTRIES = 255,
    SYNC_LONGEST_ENTRY = 72,
};

/* A connection as it travels. Addresses as in struct flow. */
struct sync_entry {
    struct flow flow;
    uint8_t server[ADDRESS];
    uint16_t server_port;
    uint16_t state;
    uint32_t flags;     /* enum sync_flag */
    uint32_t mark;      /* of the packet that made it; version 0 has none */
    uint32_t timeout_s; /* whole, not what is left of it; 0: not told */
};

size_t sync_entry_length(const struct sync_entry *entry, uint8_t version);

/* Begins an empty message, or adds to one; returns how long it is then. The caller sees to room. */
size_t sync_begin(uint8_t *message, uint8_t version, uint8_t syncid);
size_t sync_add(uint8_t *message, size_t length, uint8_t version, const struct sync_entry *entry);

enum sync_found {
    SYNC_ENTRY,
    SYNC_SKIPPED, /* an entry that means nothing to direct routing; go on */
    SYNC_END,
    SYNC_BAD, /* the rest of the message cannot be read */
};

struct sync_reader {
    const uint8_t *bytes;
    size_t length;
    size_t at;
    uint32_t left; /* entries */
    uint8_t version;
    uint8_t syncid;
};

/* False: this is no message. */
bool sync_open(struct sync_reader *reader, const uint8_t *bytes, size_t length);
enum sync_found sync_next(struct sync_reader *reader, struct sync_entry *entry);

#endif
