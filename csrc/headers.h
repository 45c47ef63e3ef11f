/* headers.h -- what packet.c and the files of one protocol each, ipv4.c, ipv6.c and transport.c,
 * have of each other. Nobody else needs it. */
#ifndef HEADERS_H
#define HEADERS_H

#include "packet.h"

/* From the IP header on; `left` bytes are there. `packet` has the Ethernet header already. */
enum packet_kind parse_ipv4(const uint8_t *ip, size_t left, struct packet *packet);
enum packet_kind parse_ipv6(const uint8_t *ip, size_t left, struct packet *packet);

/* What a packet carries that is no fragment, or the first one. */
enum packet_kind parse_transport(const uint8_t *transport, size_t left, struct packet *packet);

/* What follows where there is no transport header: only the first fragment carries the ports.
 * `header` are the bytes before the payload that count in the whole packet's length. */
enum packet_kind parse_later_fragment(size_t header, struct packet *packet);

/* What an ICMP error quotes, as packet_parse_quoted() has it. */
bool parse_quoted4(const uint8_t *ip, size_t length, struct flow *flow);
bool parse_quoted6(const uint8_t *ip, size_t length, struct flow *flow);
bool parse_quoted_ports(const uint8_t *transport, size_t left, struct flow *flow);

#endif
