/* finish.c -- checksums that the sender's offloads left unfinished. Pure. */
#include "finish.h"
#include "packet.h"

enum {
    TCP_CHECKSUM = 16, /* where it is in its header (RFC 9293 section 3.1) */
    UDP_CHECKSUM = 6,  /* RFC 768 */
};

/* The sum of RFC 1071 comes out the same whatever the words' size is (section 2, C), and in the
 * byte order of the words (section 2, B). */
static uint16_t sum_of(const uint8_t *bytes, size_t length)
{
    uint64_t sum = 0;
    uint32_t word;
    uint16_t half;

    for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        sum += word;
    }
    uint8_t rest[sizeof(word)] = {0};
    memcpy(rest, bytes, length);
    memcpy(&word, rest, sizeof(word));
    sum += word;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    half = (uint16_t)sum;
    return read16((const uint8_t *)&half);
}

/* RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1: the three come to the same sum. */
static uint32_t pseudo_header(const uint8_t *frame, const struct packet *packet)
{
    const uint8_t *ip = frame + packet->network;
    uint32_t sum = packet->version == 4 ? checksum_add(0, ip + 12, 8) : checksum_add(0, ip + 8, 32);
    uint32_t length = packet_payload(packet);

    return sum + (length >> 16) + (length & 0xffff) + packet->flow.protocol;
}

bool finish_checksum(uint8_t *frame, size_t length)
{
    struct packet packet;

    /* Who sends fragments has summed up the packet before it was cut. */
    if (packet_parse(frame, length, &packet) != PACKET_TRANSPORT || packet.is_fragment)
        return false;
    uint8_t protocol = packet.flow.protocol;
    if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
        return false;
    uint8_t *transport = frame + packet.transport;
    uint8_t *field = transport + (protocol == PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
    uint32_t pseudo = pseudo_header(frame, &packet);
    uint16_t unfinished = (uint16_t)~checksum_end(pseudo);
    if (read16(field) != unfinished)
        return false;

    /* With the pseudo-header in its field the packet's own sum is the whole one. */
    uint32_t sum = sum_of(transport, packet_payload(&packet));
    if (checksum_end(sum + pseudo) == 0)
        return false;
    uint16_t checksum = checksum_end(sum);
    /* RFC 768: all zero would say that there is none. */
    write16(field, checksum == 0 ? 0xffff : checksum);
    return true;
}
