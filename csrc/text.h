/* text.h -- words, numbers and addresses, one after the other, into a buffer of fixed size. What
 * does not fit is cut off. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
    char *bytes;
    size_t room;
    size_t length;
};

void text_add(struct text *text, const char *words);
void text_number(struct text *text, uint64_t number);
void text_mac(struct text *text, const uint8_t mac[6]);

/* Sixteen bytes, IPv4 mapped; IPv6 as RFC 5952 has it. */
void text_address(struct text *text, const uint8_t address[16]);
/* Address and port, with brackets where IPv6 needs them. */
void text_endpoint(struct text *text, const uint8_t address[16], uint16_t port);

#endif
