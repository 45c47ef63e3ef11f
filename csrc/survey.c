/* survey.c -- what a capture tells of MAC addresses, before anything in it is decided. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "dr_trace.h"
#include "packet.h"

enum {
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_IPV6 = 0x86dd,
    ARP_LENGTH = 28, /* RFC 826, of Ethernet and IPv4 */
    IPV4_LEAST = 20,
    IPV6_LEAST = 40,
    ADVERTISEMENT = 136,                    /* RFC 4861 section 4.4 */
    ADVERTISEMENT_LENGTH = IPV6_LEAST + 32, /* with the target's link-layer address */
    OPTION_TARGET = 2,
};

struct dr_survey {
    struct capture capture;
    struct dr_neighbour *neighbours;
    size_t count;
};

int dr_survey_new(struct dr_survey **out, struct dr_neighbour *neighbours, size_t count)
{
    struct dr_survey *survey = calloc(1, sizeof(*survey));

    if (!survey)
        return -ENOMEM;
    survey->neighbours = neighbours;
    survey->count = count;
    *out = survey;
    return 0;
}

void dr_survey_free(struct dr_survey *survey)
{
    free(survey);
}

static struct dr_neighbour *find(const struct dr_survey *survey, const uint8_t address[ADDRESS])
{
    for (size_t i = 0; i < survey->count; i++)
        if (is_same_address(survey->neighbours[i].address, address))
            return &survey->neighbours[i];
    return NULL;
}

static struct dr_neighbour *find4(const struct dr_survey *survey, const uint8_t ip[4])
{
    uint8_t address[ADDRESS] = {[10] = 0xff, [11] = 0xff};

    memcpy(address + 12, ip, 4);
    return find(survey, address);
}

/* The first word counts: later ones may be a fail-over, which a replay cannot follow. */
static void learn(uint8_t known[MAC], const uint8_t mac[MAC])
{
    static const uint8_t none[MAC];
    bool is_group = mac[0] & 1;

    if (!is_group && memcmp(known, none, MAC) == 0)
        memcpy(known, mac, MAC);
}

static void note_taken(const struct dr_survey *survey, const uint8_t *frame, size_t captured)
{
    if (captured < 2 * MAC)
        return;
    for (size_t i = 0; i < survey->count; i++) {
        struct dr_neighbour *each = &survey->neighbours[i];
        if (memcmp(each->candidate, frame, MAC) == 0 ||
            memcmp(each->candidate, frame + MAC, MAC) == 0)
            each->taken = 1;
    }
}

static void look_at(const struct dr_survey *survey, const uint8_t *frame, size_t captured)
{
    struct packet packet;
    struct dr_neighbour *found = NULL;

    packet_parse(frame, captured, &packet);
    if (captured < packet.network)
        return;
    const uint8_t *payload = frame + packet.network;
    size_t left = captured - packet.network;
    uint16_t type = read16(payload - 2);
    if (type == TYPE_ARP && left >= ARP_LENGTH) {
        if ((found = find4(survey, payload + 14)))
            learn(found->claimed, payload + 8);
    } else if (type == TYPE_IPV4 && left >= IPV4_LEAST) {
        if ((found = find4(survey, payload + 16)))
            learn(found->reached, frame);
    } else if (type == TYPE_IPV6 && left >= IPV6_LEAST) {
        if ((found = find(survey, payload + 24)))
            learn(found->reached, frame);
        if (left < ADVERTISEMENT_LENGTH || payload[6] != PROTOCOL_ICMPV6 ||
            payload[IPV6_LEAST] != ADVERTISEMENT || payload[IPV6_LEAST + 24] != OPTION_TARGET)
            return;
        if ((found = find(survey, payload + IPV6_LEAST + 8)))
            learn(found->claimed, payload + IPV6_LEAST + 26);
    }
}

size_t dr_survey_step(struct dr_survey *survey, uint8_t *bytes, size_t size)
{
    struct capture_frame frame;
    enum capture_outcome outcome;
    size_t used = 0;

    while ((outcome = capture_next(&survey->capture, bytes + used, size - used, &frame)) <=
           CAPTURE_OTHER) {
        if (outcome == CAPTURE_FRAME) {
            note_taken(survey, frame.data, frame.captured);
            look_at(survey, frame.data, frame.captured);
            capture_take(&survey->capture, &frame);
        }
        used += frame.used;
    }
    return used;
}
