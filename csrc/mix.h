/* mix.h -- the hash of what strangers choose: who talks to whom. Multiply and fold, keyed.
 *
 * Whoever sends frames chooses addresses, ports and identifiers, so each factor has a secret of its
 * own: one that is public would be made 0, and with it the product, whatever the other is. */
#ifndef MIX_H
#define MIX_H

#include <stdint.h>
#include <string.h>

#include "packet.h"

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t mix_address(const uint8_t address[ADDRESS], uint64_t one, uint64_t other)
{
    uint64_t halves[2];

    memcpy(halves, address, ADDRESS);
    return mix(halves[0] ^ one, halves[1] ^ other);
}

/* Four multiplications, two of them at the same time. The last one is for ports, which a client
 * takes one after the other: in what was folded before, they are steps of one length, and with one
 * secret in a few thousand such steps meet in a handful of buckets. */
static inline uint32_t mix_pair(const uint64_t seeds[2], const uint8_t client[ADDRESS],
                                const uint8_t address[ADDRESS], uint64_t rest)
{
    uint64_t of_client = mix_address(client, seeds[0], seeds[1]);
    uint64_t of_address = mix_address(address, ~seeds[1], ~seeds[0]);

    uint64_t folded = mix(of_client ^ rest ^ seeds[1], of_address ^ seeds[0]);
    return (uint32_t)(folded * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

#endif
