/* text.c -- writes text without the C library, which has no bounded way without a format string. */
#include "text.h"

#include <string.h>

#include "packet.h"

static const char digits[] = "0123456789abcdef";

static void put(struct text *text, char byte)
{
    if (text->length < text->room)
        text->bytes[text->length++] = byte;
}

static void add(struct text *text, const char *bytes, size_t length)
{
    size_t room = text->room - text->length;
    size_t fits = length < room ? length : room;

    memcpy(text->bytes + text->length, bytes, fits);
    text->length += fits;
}

void text_add(struct text *text, const char *words)
{
    add(text, words, strlen(words));
}

void text_number(struct text *text, uint64_t number)
{
    char backwards[20];
    size_t first = sizeof(backwards);

    do
        backwards[--first] = digits[number % 10];
    while ((number /= 10) > 0);
    add(text, backwards + first, sizeof(backwards) - first);
}

void text_mac(struct text *text, const uint8_t mac[6])
{
    char out[3 * MAC];

    for (int i = 0; i < MAC; i++) {
        out[3 * i] = digits[mac[i] >> 4];
        out[3 * i + 1] = digits[mac[i] & 15];
        out[3 * i + 2] = ':';
    }
    add(text, out, sizeof(out) - 1);
}

static void put_group(struct text *text, uint16_t group)
{
    int shift = 12;

    while (shift > 0 && group >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put(text, digits[group >> shift & 15]);
}

/* RFC 5952 section 4.2: the longest run of two zero groups or more, the first of equals. */
static int longest_zeros(const uint8_t address[16], int *length)
{
    int best = -1;

    *length = 1;
    for (int from = 0; from < 8; from++) {
        int to = from;
        while (to < 8 && read16(address + 2 * to) == 0)
            to++;
        if (to - from > *length) {
            *length = to - from;
            best = from;
        }
    }
    return best;
}

static void put_ipv6(struct text *text, const uint8_t address[16])
{
    int zeros_length;
    int zeros = longest_zeros(address, &zeros_length);

    for (int group = 0; group < 8; group++) {
        if (group == zeros) {
            text_add(text, "::");
            group += zeros_length - 1;
            continue;
        }
        if (group > 0 && group != zeros + zeros_length)
            put(text, ':');
        put_group(text, read16(address + 2 * group));
    }
}

void text_address(struct text *text, const uint8_t address[16])
{
    if (!is_ipv4(address)) {
        put_ipv6(text, address);
        return;
    }
    for (int i = 12; i < ADDRESS; i++) {
        if (i > 12)
            put(text, '.');
        text_number(text, address[i]);
    }
}

void text_endpoint(struct text *text, const uint8_t address[16], uint16_t port)
{
    text_add(text, is_ipv4(address) ? "" : "[");
    text_address(text, address);
    text_add(text, is_ipv4(address) ? ":" : "]:");
    text_number(text, port);
}
