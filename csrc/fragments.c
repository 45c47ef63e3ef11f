/* fragments.c -- two fixed tables: packets whose first fragment has been seen, and fragments that
 * wait for theirs. A new entry takes the oldest one's place, so nobody can fill them for long. */
#include "fragments.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"

enum {
    PACKETS = 1024, /* a power of two */
    WAYS = 4,       /* places a packet may take */
    HELD = 256,
    HELD_BYTES = 2048, /* a fragment is never longer than an MTU; jumbo frames do not wait */
    HEADROOM = 16,     /* for what an I/O end puts before a frame */
    LIFETIME_S = 30,   /* as Linux's ipfrag_time */
};

/* RFC 791 section 3.2, RFC 8200 section 4.5: what the fragments of a packet have in common. */
struct key {
    uint8_t client[ADDRESS];
    uint8_t address[ADDRESS];
    uint32_t id;
    uint32_t protocol; /* 0 for IPv6, whose later fragments need not tell it */
};

struct known {
    struct key key;
    uint32_t slot;
    uint32_t until_s; /* 0: free */
};

struct held {
    struct key key;
    struct dr_frame frame;
    uint32_t until_s; /* 0: free */
    uint8_t bytes[HEADROOM + HELD_BYTES];
};

struct fragments {
    struct known known[PACKETS];
    struct held held[HELD];
    uint32_t next_held;
};

struct fragments *fragments_new(void)
{
    return calloc(1, sizeof(struct fragments));
}

void fragments_free(struct fragments *fragments)
{
    free(fragments);
}

static struct key key_of(const struct packet *packet)
{
    struct key key = {
        .id = packet->fragment_id,
        .protocol = packet->version == 4 ? packet->flow.protocol : 0,
    };

    memcpy(key.client, packet->flow.client, ADDRESS);
    memcpy(key.address, packet->flow.address, ADDRESS);
    return key;
}

static bool is_same(const struct key *a, const struct key *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static uint32_t place_of(const struct key *key)
{
    const uint8_t *bytes = (const uint8_t *)key;
    uint32_t hash = 0x811c9dc5;

    for (size_t i = 0; i < sizeof(*key); i++)
        hash = (hash ^ bytes[i]) * 0x01000193;
    return (hash ^ hash >> 16) & (PACKETS - 1) & ~(uint32_t)(WAYS - 1);
}

void fragments_learn(struct fragments *fragments, const struct packet *packet, uint32_t slot,
                     uint32_t now_s)
{
    struct key key = key_of(packet);
    struct known *set = &fragments->known[place_of(&key)];
    struct known *oldest = &set[0];

    for (int way = 0; way < WAYS; way++) {
        if (is_same(&set[way].key, &key)) {
            oldest = &set[way];
            break;
        }
        if (set[way].until_s < oldest->until_s)
            oldest = &set[way];
    }
    *oldest = (struct known){.key = key, .slot = slot, .until_s = now_s + LIFETIME_S};
}

uint32_t fragments_find(const struct fragments *fragments, const struct packet *packet,
                        uint32_t now_s)
{
    struct key key = key_of(packet);
    const struct known *set = &fragments->known[place_of(&key)];

    for (int way = 0; way < WAYS; way++)
        if (set[way].until_s > now_s && is_same(&set[way].key, &key))
            return set[way].slot;
    return NO_SLOT;
}

static struct held *free_place(struct fragments *fragments, uint32_t now_s)
{
    for (uint32_t i = 0; i < HELD; i++) {
        uint32_t place = (fragments->next_held + i) % HELD;
        if (fragments->held[place].until_s <= now_s) {
            fragments->next_held = (place + 1) % HELD;
            return &fragments->held[place];
        }
    }
    return NULL;
}

bool fragments_hold(struct fragments *fragments, const struct dr_frame *frame,
                    const struct packet *packet, uint32_t now_s)
{
    struct held *held = frame->length <= HELD_BYTES ? free_place(fragments, now_s) : NULL;

    if (!held)
        return false;
    held->key = key_of(packet);
    held->frame = *frame;
    held->frame.data = held->bytes + HEADROOM;
    held->until_s = now_s + LIFETIME_S;
    memset(held->bytes, 0, HEADROOM);
    memcpy(held->frame.data, frame->data, frame->length);
    return true;
}

struct dr_frame *fragments_release(struct fragments *fragments, const struct packet *packet,
                                   uint32_t now_s)
{
    struct key key = key_of(packet);

    for (uint32_t i = 0; i < HELD; i++) {
        struct held *held = &fragments->held[(fragments->next_held + i) % HELD];
        if (held->until_s > now_s && is_same(&held->key, &key)) {
            held->until_s = 0;
            return &held->frame;
        }
    }
    return NULL;
}
