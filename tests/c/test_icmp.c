/* test_icmp.c -- kinds, checksums, and how often an error may be sent; the answers as such are
 * test_icmp.py's. */
#include "icmp.h"

#include "world.h"

static enum icmp_kind kind_of(struct made made)
{
    struct packet packet;

    CHECK(packet_parse(made.bytes, made.length, &packet) == PACKET_ICMP);
    return icmp_kind(made.bytes, &packet);
}

static void every_type_has_its_kind(void)
{
    for (int type = 0; type < 256; type++) {
        enum icmp_kind kind = kind_of(icmp_message((unsigned)type, "\0\0\0\0", 4));
        enum icmp_kind kind6 = kind_of(icmp6_message((unsigned)type, "\0\0\0\0", 4));
        bool is_error = type == 3 || type == 4 || type == 11;
        bool is_error6 = type < 128;
        CHECK(kind == (type == 8 ? ICMP_ECHO : is_error ? ICMP_ERROR : ICMP_NOTHING));
        CHECK(kind6 == (type == 128   ? ICMP_ECHO
                        : type == 135 ? ICMP_SOLICITATION
                        : is_error6   ? ICMP_ERROR
                                      : ICMP_NOTHING));
    }
}

static bool concerns(struct made made)
{
    struct packet packet;
    struct flow flow;
    uint8_t *block = exact(&made, made.length);
    bool found = packet_parse(block, made.length, &packet) == PACKET_ICMP &&
                 icmp_concerns(block, &packet, &flow);

    free(block);
    return found;
}

static void every_wrong_bit_in_an_error_is_noticed(void)
{
    struct made error = icmp_error(3, 7777);

    CHECK(concerns(error));
    for (size_t bit = 34 * 8; bit < error.length * 8; bit++) {
        struct made made = error;
        made.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!concerns(made));
    }
}

static void a_wrong_checksum_of_an_icmpv6_error_is_left_to_the_server(void)
{
    struct made error6 = icmp6_error(2, 7777);

    CHECK(concerns(error6));
    error6.bytes[14 + 40 + 2] ^= 1;
    CHECK(concerns(error6));
}

static void padding_is_no_part_of_a_message(void)
{
    struct made made = icmp_error(3, 7777);

    put(&made, "padding", 7);
    CHECK(concerns(made));
}

/* ---- How often ---- */

enum { ONE_S = 1000 };

static const uint64_t now_ms = 5000000000;
static const struct icmp_limiter fresh = {.seeds = {0x5eed0123456789ab, 0xfedcba9876540123}};

static void name_client(uint8_t client[ADDRESS], uint32_t number)
{
    memset(client, 0, ADDRESS);
    memcpy(client + 12, &number, sizeof(number));
}

static int allowed(struct icmp_limiter *limiter, uint32_t client, int tries, uint64_t at_ms)
{
    uint8_t name[ADDRESS];
    int count = 0;

    name_client(name, client);
    for (int i = 0; i < tries; i++)
        count += icmp_may_send(limiter, name, ONE_S, at_ms);
    return count;
}

static void a_client_gets_six_at_once_and_then_one_a_second(void)
{
    struct icmp_limiter limiter = fresh;

    CHECK(allowed(&limiter, 1, 20, now_ms) == 6);
    CHECK(allowed(&limiter, 1, 20, now_ms + 999) == 0);
    CHECK(allowed(&limiter, 1, 20, now_ms + 1000) == 1);
    CHECK(allowed(&limiter, 1, 20, now_ms + 3500) == 2);
    CHECK(allowed(&limiter, 1, 20, now_ms + 4000) == 1);
    CHECK(allowed(&limiter, 1, 20, now_ms + 100000) == 6);
}

static void asking_often_does_not_put_it_off(void)
{
    struct icmp_limiter limiter = fresh;
    int count = allowed(&limiter, 1, 6, now_ms);

    for (uint64_t passed = 1; passed <= 10000; passed++)
        count += allowed(&limiter, 1, 1, now_ms + passed);
    CHECK(count == 6 + 10);
}

static void all_clients_together_get_fifty_at_once_and_then_a_thousand_a_second(void)
{
    struct icmp_limiter limiter = fresh;
    int count = 0;

    for (uint32_t client = 0; client < 200; client++)
        count += allowed(&limiter, client, 1, now_ms);
    CHECK(count == 50);
    CHECK(allowed(&limiter, 1000, 5, now_ms + 3) == 3);
    count = 0;
    for (uint32_t client = 2000; client < 2200; client++)
        count += allowed(&limiter, client, 1, now_ms + 100);
    CHECK(count == 50);
}

static void without_a_limit_there_is_none(void)
{
    struct icmp_limiter limiter = fresh;
    uint8_t client[ADDRESS] = {0};

    for (int i = 0; i < 1000; i++)
        CHECK(icmp_may_send(&limiter, client, 0, now_ms));
}

/* All with the interface identifier that a hash of public numbers has a zero for, or share one. */
static void clients_of_one_choice_are_not_all_in_one_place(void)
{
    static const uint64_t chosen[] = {0, 0x9e3779b97f4a7c15, UINT64_MAX};

    for (size_t i = 0; i < sizeof(chosen) / sizeof(chosen[0]); i++) {
        struct icmp_limiter limiter = fresh;
        int served = 0;
        for (uint64_t network = 0; network < 40; network++) {
            uint8_t client[ADDRESS];
            memcpy(client, &network, sizeof(network));
            memcpy(client + 8, &chosen[i], sizeof(chosen[i]));
            served += icmp_may_send(&limiter, client, ONE_S, now_ms);
        }
        CHECK(served == 40);
    }
}

int main(void)
{
    RUN(every_type_has_its_kind);
    RUN(every_wrong_bit_in_an_error_is_noticed);
    RUN(a_wrong_checksum_of_an_icmpv6_error_is_left_to_the_server);
    RUN(padding_is_no_part_of_a_message);
    RUN(a_client_gets_six_at_once_and_then_one_a_second);
    RUN(asking_often_does_not_put_it_off);
    RUN(all_clients_together_get_fifty_at_once_and_then_a_thousand_a_second);
    RUN(without_a_limit_there_is_none);
    RUN(clients_of_one_choice_are_not_all_in_one_place);
}
