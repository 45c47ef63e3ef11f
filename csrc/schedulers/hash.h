/* hash.h -- the kernel's hashes of an address: its slots must be ours, to the bit. */
#ifndef HASH_H
#define HASH_H

#include "packet.h"

/* Multiplicative (include/linux/hash.h): the upper `bits` bits of the product. */
static inline uint32_t hash_multiply(uint32_t value, uint32_t bits)
{
    return value * 0x61c88647u >> (32 - bits);
}

/* An address as one number: IPv4 as it is, IPv6 with its four words XORed. */
uint32_t hash_fold(const uint8_t address[ADDRESS]);

/* SipHash-1-3 of the number's four bytes under a key of two equal words, cut to 32 bits: what
 * hsiphash_1u32() is on 64-bit kernels. */
uint32_t hash_sip(uint64_t key, uint32_t value);

#endif
