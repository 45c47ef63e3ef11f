/* sync_message.c -- the layout, and what of it must hold before a byte is believed. */
#include "sync_message.h"

enum {
    VERSION_1 = 1,
    ENTRY_IPV4 = 36,
    ENTRY_IPV6 = 72,
    ENTRY_V0 = 24,
    SEQUENCE_V0 = 24, /* behind an entry of version 0 with sequence flags */
    ADDRESSES = 24,   /* where the three addresses begin in an entry of version 1 */
    TYPE_IPV6 = 0x1,
    LENGTH_BITS = 12,
    LENGTH_MASK = (1 << LENGTH_BITS) - 1,
};

/* Options of an entry of version 1: type, length, bytes. */
enum option {
    OPTION_SEQUENCE = 1,
    OPTION_ENGINE_DATA = 2,
    OPTION_ENGINE_NAME = 3,
    OPTION_MAY_BE_IGNORED = 0x40,
};

enum { SEQUENCE_BYTES = 24, ENGINE_DATA_MOST = 255, ENGINE_NAME_MOST = 16 };

/* ---- Writing ---- */

size_t sync_entry_length(const struct sync_entry *entry, uint8_t version)
{
    if (version == 0)
        return ENTRY_V0;
    return is_ipv4(entry->flow.address) ? ENTRY_IPV4 : ENTRY_IPV6;
}

size_t sync_begin(uint8_t *message, uint8_t version, uint8_t syncid)
{
    size_t header = version == 0 ? SYNC_HEADER_V0 : SYNC_HEADER;

    memset(message, 0, header);
    message[1] = syncid;
    write16(message + 2, (uint16_t)header);
    if (version != 0)
        message[5] = VERSION_1;
    return header;
}

static uint8_t *put_address(uint8_t *to, const uint8_t address[ADDRESS], bool ipv4)
{
    size_t skip = ipv4 ? ADDRESS - 4 : 0;

    memcpy(to, address + skip, ADDRESS - skip);
    return to + ADDRESS - skip;
}

static void write_entry(uint8_t *to, size_t length, const struct sync_entry *entry)
{
    bool ipv4 = is_ipv4(entry->flow.address);

    to[0] = ipv4 ? 0 : TYPE_IPV6;
    to[1] = entry->flow.protocol;
    write16(to + 2, (uint16_t)length);
    write32(to + 4, entry->flags);
    write16(to + 8, entry->state);
    write16(to + 10, entry->flow.client_port);
    write16(to + 12, entry->flow.port);
    write16(to + 14, entry->server_port);
    write32(to + 16, entry->mark);
    write32(to + 20, entry->timeout_s);
    uint8_t *next = put_address(to + ADDRESSES, entry->flow.client, ipv4);
    next = put_address(next, entry->flow.address, ipv4);
    put_address(next, entry->server, ipv4);
}

static void write_entry_v0(uint8_t *to, const struct sync_entry *entry)
{
    to[0] = 0;
    to[1] = entry->flow.protocol;
    write16(to + 2, entry->flow.client_port);
    write16(to + 4, entry->flow.port);
    write16(to + 6, entry->server_port);
    put_address(to + 8, entry->flow.client, true);
    put_address(to + 12, entry->flow.address, true);
    put_address(to + 16, entry->server, true);
    write16(to + 20, (uint16_t)entry->flags);
    write16(to + 22, entry->state);
}

size_t sync_add(uint8_t *message, size_t length, uint8_t version, const struct sync_entry *entry)
{
    size_t more = sync_entry_length(entry, version);

    if (version == 0)
        write_entry_v0(message + length, entry);
    else
        write_entry(message + length, more, entry);
    message[version == 0 ? 0 : 4]++;
    write16(message + 2, (uint16_t)(length + more));
    return length + more;
}

/* ---- Reading ---- */

bool sync_open(struct sync_reader *reader, const uint8_t *bytes, size_t length)
{
    if (length < SYNC_HEADER_V0 || read16(bytes + 2) != length)
        return false;
    *reader = (struct sync_reader){.bytes = bytes, .length = length, .syncid = bytes[1]};
    /* Version 0 has its count where the others have a zero. */
    if (length >= SYNC_HEADER && bytes[0] == 0 && bytes[5] == VERSION_1 && read16(bytes + 6) == 0) {
        reader->version = VERSION_1;
        reader->left = bytes[4];
        reader->at = SYNC_HEADER;
    } else {
        reader->left = bytes[0];
        reader->at = SYNC_HEADER_V0;
    }
    return true;
}

static const uint8_t *take_address(uint8_t to[ADDRESS], const uint8_t *from, bool ipv4)
{
    memset(to, 0, ADDRESS);
    if (ipv4)
        to[10] = to[11] = 0xff;
    size_t skip = ipv4 ? ADDRESS - 4 : 0;
    memcpy(to + skip, from, ADDRESS - skip);
    return from + ADDRESS - skip;
}

/* An option of which there may be one; false when it is wrong. */
static bool is_right(uint8_t type, size_t length, uint32_t *seen)
{
    static const uint16_t most[] = {
        [OPTION_SEQUENCE] = SEQUENCE_BYTES,
        [OPTION_ENGINE_DATA] = ENGINE_DATA_MOST,
        [OPTION_ENGINE_NAME] = ENGINE_NAME_MOST,
    };

    if (length > most[type] || (type == OPTION_SEQUENCE && length != SEQUENCE_BYTES))
        return false;
    bool is_second = *seen >> type & 1;
    *seen |= 1u << type;
    return !is_second;
}

/* Sequence numbers are of masquerading, and no persistence engine is here: a connection that needs
 * one is skipped. */
static enum sync_found read_options(const uint8_t *option, size_t left)
{
    enum sync_found found = SYNC_ENTRY;
    uint32_t seen = 0;

    while (left > 0) {
        if (left < 2 || option[1] == 0 || left - 2 < option[1])
            return SYNC_BAD;
        uint8_t type = option[0] & (uint8_t)~OPTION_MAY_BE_IGNORED;
        if (type >= OPTION_SEQUENCE && type <= OPTION_ENGINE_NAME) {
            if (!is_right(type, option[1], &seen))
                return SYNC_BAD;
            if (type != OPTION_SEQUENCE)
                found = SYNC_SKIPPED;
        } else if (!(option[0] & OPTION_MAY_BE_IGNORED)) {
            return SYNC_SKIPPED; /* as the kernel, which looks no further */
        }
        left -= 2 + (size_t)option[1];
        option += 2 + option[1];
    }
    return found;
}

static enum sync_found read_entry(const uint8_t *from, size_t length, struct sync_entry *entry)
{
    bool ipv4 = !(from[0] & TYPE_IPV6);
    size_t fixed = ipv4 ? ENTRY_IPV4 : ENTRY_IPV6;

    if ((ipv4 && from[0] != 0) || length < fixed)
        return SYNC_BAD;
    *entry = (struct sync_entry){
        .flow = {.protocol = from[1], .client_port = read16(from + 10), .port = read16(from + 12)},
        .flags = read32(from + 4),
        .state = read16(from + 8),
        .server_port = read16(from + 14),
        .mark = read32(from + 16),
        .timeout_s = read32(from + 20),
    };
    const uint8_t *next = take_address(entry->flow.client, from + ADDRESSES, ipv4);
    next = take_address(entry->flow.address, next, ipv4);
    take_address(entry->server, next, ipv4);
    enum sync_found found = read_options(from + fixed, length - fixed);
    if (found != SYNC_ENTRY)
        return found;
    /* IPv4 in IPv6 clothes would be taken for IPv4. */
    bool is_disguised = !ipv4 && (is_ipv4(entry->flow.client) || is_ipv4(entry->flow.address) ||
                                  is_ipv4(entry->server));
    return is_disguised ? SYNC_SKIPPED : SYNC_ENTRY;
}

static void read_entry_v0(const uint8_t *from, struct sync_entry *entry)
{
    *entry = (struct sync_entry){
        .flow = {.protocol = from[1], .client_port = read16(from + 2), .port = read16(from + 4)},
        .server_port = read16(from + 6),
        .flags = read16(from + 20),
        .state = read16(from + 22),
    };
    take_address(entry->flow.client, from + 8, true);
    take_address(entry->flow.address, from + 12, true);
    take_address(entry->server, from + 16, true);
}

static enum sync_found next_v0(struct sync_reader *reader, struct sync_entry *entry)
{
    size_t left = reader->length - reader->at;

    if (left < ENTRY_V0)
        return SYNC_BAD;
    read_entry_v0(reader->bytes + reader->at, entry);
    size_t length = entry->flags & SYNC_SEQUENCE ? ENTRY_V0 + SEQUENCE_V0 : ENTRY_V0;
    if (left < length)
        return SYNC_BAD;
    reader->at += length;
    return SYNC_ENTRY;
}

static enum sync_found next_v1(struct sync_reader *reader, struct sync_entry *entry)
{
    const uint8_t *from = reader->bytes + reader->at;
    size_t left = reader->at < reader->length ? reader->length - reader->at : 0;

    if (left < ENTRY_IPV4)
        return SYNC_BAD;
    size_t length = read16(from + 2) & LENGTH_MASK;
    if (length > left || length < ENTRY_IPV4 || read16(from + 2) >> LENGTH_BITS != 0)
        return SYNC_BAD;
    reader->at += (length + 3) & ~(size_t)3; /* the next one is aligned, and may not be there */
    return read_entry(from, length, entry);
}

enum sync_found sync_next(struct sync_reader *reader, struct sync_entry *entry)
{
    if (reader->left == 0)
        return SYNC_END;
    reader->left--;
    return reader->version == 0 ? next_v0(reader, entry) : next_v1(reader, entry);
}
