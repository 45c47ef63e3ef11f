/* fragments.c -- two fixed tables: packets whose first fragment has been seen, and fragments that
 * wait for theirs. A new entry takes the oldest one's place, so nobody can fill them for long. */
#include "fragments.h"

#include <stdlib.h>
#include <string.h>

#include "mix.h"
#include "table.h"

enum {
    PACKETS_A_PLACE = 4,             /* that are remembered, for each place to wait in */
    WAYS = 4,                        /* places a packet may take */
    HELD_BYTES = LINK_HEADER + 9216, /* no longer than a jumbo frame */
    HEADROOM = 16,                   /* for what an I/O end puts before a frame */
    LIFETIME_S = 30,                 /* as Linux's ipfrag_time */
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
    struct fate fate;
    uint32_t until_s; /* 0: free */
    uint32_t seen;    /* bytes of its fragments' payload */
    uint32_t whole;   /* of all of them: known with the last, until then the most there may be */
};

struct held {
    struct key key;
    struct dr_frame frame;
    uint32_t until_s; /* 0: free */
    uint8_t bytes[HEADROOM + HELD_BYTES];
};

struct fragments {
    uint64_t seeds[2]; /* of the hash */
    struct known *known;
    struct held *held;
    uint32_t packets; /* a power of two */
    uint32_t room;
    uint32_t next_held;
};

struct fragments *fragments_new(uint32_t room, const uint64_t seeds[2])
{
    struct fragments *fragments = calloc(1, sizeof(*fragments));

    if (!fragments)
        return NULL;
    fragments->room = room;
    memcpy(fragments->seeds, seeds, sizeof(fragments->seeds));
    fragments->packets = WAYS;
    while (fragments->packets / PACKETS_A_PLACE < room)
        fragments->packets *= 2;
    fragments->known = calloc(fragments->packets, sizeof(struct known));
    fragments->held = calloc(room, sizeof(struct held));
    if (fragments->known && fragments->held)
        return fragments;
    fragments_free(fragments);
    return NULL;
}

void fragments_free(struct fragments *fragments)
{
    if (!fragments)
        return;
    free(fragments->known);
    free(fragments->held);
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

/* The first of the places that a packet may take. */
static struct known *places_of(const struct fragments *fragments, const struct key *key)
{
    uint64_t rest = (uint64_t)key->id << 32 | key->protocol;
    uint32_t hash = mix_pair(fragments->seeds, key->client, key->address, rest);

    return &fragments->known[hash & (fragments->packets - 1) & ~(uint32_t)(WAYS - 1)];
}

void fragments_learn(struct fragments *fragments, const struct packet *packet, struct fate fate,
                     uint32_t now_s)
{
    struct key key = key_of(packet);
    struct known *set = places_of(fragments, &key);
    struct known *oldest = &set[0];

    for (int way = 0; way < WAYS; way++) {
        if (is_same(&set[way].key, &key)) {
            oldest = &set[way];
            break;
        }
        if (set[way].until_s < oldest->until_s)
            oldest = &set[way];
    }
    *oldest = (struct known){
        .key = key,
        .fate = fate,
        .until_s = now_s + LIFETIME_S,
        .seen = packet_payload(packet),
        .whole = UINT16_MAX,
    };
}

static struct known *find(const struct fragments *fragments, const struct key *key, uint32_t now_s)
{
    struct known *set = places_of(fragments, key);

    for (int way = 0; way < WAYS; way++)
        if (set[way].until_s > now_s && is_same(&set[way].key, key))
            return &set[way];
    return NULL;
}

struct fate fragments_follow(struct fragments *fragments, const struct packet *packet,
                             uint32_t now_s)
{
    struct key key = key_of(packet);
    struct known *known = find(fragments, &key, now_s);

    if (!known)
        return (struct fate){.verdict = DR_FRAGMENT_HELD, .slot = NO_SLOT};
    known->seen += packet_payload(packet);
    if (packet->is_last_fragment)
        known->whole = packet->fragment_at + packet_payload(packet);
    if (known->seen >= known->whole)
        known->until_s = 0;
    return known->fate;
}

static struct held *free_place(struct fragments *fragments, uint32_t now_s)
{
    for (uint32_t i = 0; i < fragments->room; i++) {
        uint32_t place = (fragments->next_held + i) % fragments->room;
        if (fragments->held[place].until_s <= now_s) {
            fragments->next_held = (place + 1) % fragments->room;
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

    for (uint32_t i = 0; i < fragments->room; i++) {
        struct held *held = &fragments->held[(fragments->next_held + i) % fragments->room];
        if (held->until_s > now_s && is_same(&held->key, &key)) {
            held->until_s = 0;
            return &held->frame;
        }
    }
    return NULL;
}
