/* test_scheduler_hash.c -- the hashes as such: the tables made of them are test_schedulers_hash's.
 */
#include "schedulers/hash.h"

#include "test.h"

static uint32_t fold_ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t address[ADDRESS] = {[10] = 0xff, 0xff, a, b, c, d};

    return hash_fold(address);
}

static void an_ipv4_address_is_its_own_number(void)
{
    CHECK(fold_ipv4(192, 0, 2, 1) == 0xc0000201);
    CHECK(fold_ipv4(255, 255, 255, 255) == 0xffffffff);
    CHECK(fold_ipv4(0, 0, 0, 1) == 1);
}

static void the_words_of_an_ipv6_address_are_folded(void)
{
    const uint8_t address[ADDRESS] = {0x20, 0x01, 0x0d, 0xb8, 0x01, 0x02, 0x03, 0x04,
                                      0x10, 0x20, 0x30, 0x40, 0xff, 0xff, 0xff, 0xff};
    const uint8_t loopback[ADDRESS] = {[15] = 1};

    CHECK(hash_fold(address) == (0x20010db8u ^ 0x01020304u ^ 0x10203040u ^ 0xffffffffu));
    CHECK(hash_fold(loopback) == 1);
}

static void multiplied_hashes_are_the_kernels(void)
{
    CHECK(hash_multiply(fold_ipv4(192, 0, 2, 1), 8) == 50);
    CHECK(hash_multiply(fold_ipv4(198, 51, 100, 7), 8) == 171);
    CHECK(hash_multiply(fold_ipv4(255, 255, 255, 255), 8) == 158);
    CHECK(hash_multiply(fold_ipv4(0, 0, 0, 1), 8) == 97);
    CHECK(hash_multiply(fold_ipv4(255, 255, 255, 255) + 40000, 8) == 66); /* the sum wraps */
}

static void siphashes_are_the_kernels(void)
{
    const uint64_t slot_key = 2654435761;
    const uint64_t skip_key = 2654446892;

    CHECK(hash_sip(slot_key, 0) == 0x1d5a77c2);
    CHECK(hash_sip(slot_key, 1) == 0x16ec66b2);
    CHECK(hash_sip(skip_key, 0) == 0xf882433f);
    CHECK(hash_sip(skip_key, 1) == 0x8210aad1);
    CHECK(hash_sip(slot_key, fold_ipv4(192, 0, 2, 1)) == 2458426504);
}

/* Servers 10.0.0.11 to .13 on port 80: where in the table they begin, and how they go on. */
static void paths_of_servers_are_the_kernels(void)
{
    static const uint32_t slots[] = {4032, 870, 2586};
    static const uint32_t skips[] = {1541, 874, 2286};

    for (uint8_t i = 0; i < 3; i++) {
        uint32_t value = fold_ipv4(10, 0, 0, (uint8_t)(11 + i)) + 80;
        CHECK(hash_sip(2654435761, value) % 4093 == slots[i]);
        CHECK(hash_sip(2654446892, value) % 4092 + 1 == skips[i]);
    }
}

int main(void)
{
    RUN(an_ipv4_address_is_its_own_number);
    RUN(the_words_of_an_ipv6_address_are_folded);
    RUN(multiplied_hashes_are_the_kernels);
    RUN(siphashes_are_the_kernels);
    RUN(paths_of_servers_are_the_kernels);
}
