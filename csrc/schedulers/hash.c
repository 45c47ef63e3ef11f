/* hash.c -- folding an address to a number, and SipHash-1-3 of a number. */
#include "hash.h"

uint32_t hash_fold(const uint8_t address[ADDRESS])
{
    if (is_ipv4(address))
        return read32(address + 12);
    return read32(address) ^ read32(address + 4) ^ read32(address + 8) ^ read32(address + 12);
}

static uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* The last word of a message carries its length in the top byte; four bytes are all in it. */
uint32_t hash_sip(uint64_t key, uint32_t value)
{
    const uint64_t word = UINT64_C(4) << 56 | value;
    uint64_t v[4] = {
        key ^ UINT64_C(0x736f6d6570736575),
        key ^ UINT64_C(0x646f72616e646f6d),
        key ^ UINT64_C(0x6c7967656e657261),
        key ^ UINT64_C(0x7465646279746573),
    };

    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}
