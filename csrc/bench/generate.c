/* generate.c -- the generator: frames of many flows by a transmit ring, at a rate or as many as go.
 *
 * The same seed sends the same frames in the same order, whatever the rate. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>

#include "bench.h"
#include "frames.h"
#include "samples.h"
#include "socket.h"

enum {
    SLOTS = 2048,
    BURST = 64,
    KINDS = 12, /* of frames in a mix: seven short, four of middle length, one long */
    MIDDLE = 590,
    MILLION = 1000000,
    SEND_HEADER = TPACKET2_HDRLEN - sizeof(struct sockaddr_ll),
    NAP_NS = 50000, /* of a pause this long and more some is slept through */
    DRAIN_NS = 100000000,
};

struct generator {
    const struct dr_bench_load *load;
    struct dr_bench_sent *sent;
    int fd;
    struct slots slots;
    struct samples *samples; /* NULL: none are taken */
    uint64_t random;
    uint64_t youngest; /* flow; those `flows` before it are alive too */
    uint16_t lengths[KINDS];
    uint8_t frames[KINDS][FRAME_LONGEST];
};

/* xorshift64* (Vigna 2014) */
static uint32_t random_below(struct generator *generator, uint32_t bound)
{
    uint64_t x = generator->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    generator->random = x;
    return (uint32_t)(((x * 0x2545f4914f6cdd1dULL) >> 32) * bound >> 32);
}

static void make_frames(struct generator *generator)
{
    const struct dr_bench_load *load = generator->load;

    for (int i = 0; i < KINDS; i++) {
        uint16_t mixed = i < 7 ? FRAME : i < 11 ? MIDDLE : FRAME_LONGEST;
        generator->lengths[i] = load->frame_bytes ? load->frame_bytes : mixed;
        frame_init_long(generator->frames[i], generator->lengths[i], load->to);
    }
}

/* ---- One frame ---- */

static bool opens_a_flow(struct generator *generator)
{
    const struct dr_bench_load *load = generator->load;

    if (generator->youngest < load->flows)
        return true;
    return load->new_per_million && random_below(generator, MILLION) < load->new_per_million;
}

static uint8_t *fill(struct generator *generator, struct tpacket2_hdr *slot)
{
    uint32_t kind = generator->load->frame_bytes ? 0 : random_below(generator, KINDS);
    uint16_t length = generator->lengths[kind];
    bool is_new = opens_a_flow(generator);
    uint8_t *data = (uint8_t *)slot + SEND_HEADER;
    /* As long as the frame: the kernel then copies it at once, which is the cheaper way. */
    const struct virtio_net_hdr vnet = {.hdr_len = length};

    generator->youngest += is_new;
    generator->sent->opened += is_new;
    uint32_t age = is_new ? 0 : random_below(generator, generator->load->flows);
    memcpy(data, &vnet, VNET_HEADER);
    memcpy(data + VNET_HEADER, generator->frames[kind], length);
    frame_set_flow(data + VNET_HEADER, (uint32_t)(generator->youngest - age),
                   is_new ? FRAME_SYN : FRAME_ACK);
    slot->tp_len = length + (uint32_t)VNET_HEADER;
    generator->sent->bytes += length;
    return data + VNET_HEADER;
}

static bool is_sample(const struct generator *generator)
{
    return generator->samples && generator->sent->frames % generator->load->sample_every == 0;
}

/* ---- A burst ---- */

static int flush(const struct generator *generator)
{
    if (send(generator->fd, NULL, 0, MSG_DONTWAIT) >= 0)
        return 0;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
}

/* A sample is the first of its burst: what is before it in the ring has gone. */
static int send_burst(struct generator *generator, uint64_t due)
{
    int result = 0;

    for (uint64_t i = 0; i < due && result == 0; i++) {
        struct tpacket2_hdr *slot = slots_next(&generator->slots);
        if (slots_status(slot) != TP_STATUS_AVAILABLE)
            break;
        bool is_waited_for = is_sample(generator);
        if (is_waited_for && i > 0)
            result = flush(generator);
        uint8_t *frame = fill(generator, slot);
        if (is_waited_for) {
            samples_send(generator->samples, frame);
            generator->sent->samples++;
        }
        slots_pass(&generator->slots, slot, TP_STATUS_SEND_REQUEST);
        generator->sent->frames++;
        if (is_waited_for && result == 0)
            result = flush(generator);
    }
    return result < 0 ? result : flush(generator);
}

static uint64_t due_after(const struct dr_bench_load *load, uint64_t ns)
{
    uint64_t due = load->rate ? (uint64_t)((double)ns * (double)load->rate / 1e9) + 1 : UINT64_MAX;

    return load->frames && due > load->frames ? load->frames : due;
}

static void pause_before(const struct generator *generator, uint64_t ns)
{
    const struct dr_bench_load *load = generator->load;
    uint64_t next_ns = load->rate ? generator->sent->frames * 1000000000 / load->rate : 0;

    if (generator->samples)
        samples_collect(generator->samples);
    if (next_ns > ns + 2 * NAP_NS) {
        const struct timespec nap = {.tv_nsec = NAP_NS};
        nanosleep(&nap, NULL);
    }
}

static int send_all(struct generator *generator, const int *stop)
{
    const struct dr_bench_load *load = generator->load;
    struct dr_bench_sent *sent = generator->sent;
    uint64_t start_ns = read_clock(CLOCK_MONOTONIC);
    uint64_t ns = 0;
    int result = 0;

    while (result == 0 && ns < load->duration_ns && !__atomic_load_n(stop, __ATOMIC_RELAXED)) {
        uint64_t due = due_after(load, ns);
        if (load->frames && sent->frames >= load->frames)
            break;
        uint64_t missing = due > sent->frames ? due - sent->frames : 0;
        if (missing > 0)
            result = send_burst(generator, missing < BURST ? missing : BURST);
        else
            pause_before(generator, ns);
        ns = read_clock(CLOCK_MONOTONIC) - start_ns;
    }
    sent->duration_ns = ns;
    uint64_t due =
        load->rate ? due_after(load, ns < load->duration_ns ? ns : load->duration_ns) : 0;
    sent->late = due > sent->frames ? due - sent->frames : 0;
    return result;
}

/* ---- Beginning and end ---- */

static int open_ring(struct generator *generator)
{
    generator->fd = socket(AF_PACKET, SOCK_RAW, 0);
    int result = generator->fd < 0 ? -errno : 0;
    if (result == 0)
        result = set_option(generator->fd, PACKET_VERSION, TPACKET_V2);
    if (result == 0)
        result = set_option(generator->fd, PACKET_VNET_HDR, 1);
    if (result == 0)
        result = set_option(generator->fd, PACKET_QDISC_BYPASS, 1);
    if (result == 0)
        result = slots_map(&generator->slots, generator->fd, PACKET_TX_RING, SLOTS);
    return result < 0 ? result : bind_to(generator->fd, generator->load->interface_index, 0);
}

/* Until the last sample is back, or for a tenth of a second. */
static void wait_for_samples(struct generator *generator)
{
    uint64_t until_ns = read_clock(CLOCK_MONOTONIC) + DRAIN_NS;

    while (samples_collect(generator->samples) < generator->sent->samples)
        if (read_clock(CLOCK_MONOTONIC) > until_ns)
            break;
    generator->sent->returned = samples_collect(generator->samples);
}

static bool makes_sense(const struct dr_bench_load *load)
{
    bool fits = load->frame_bytes == 0 ||
                (load->frame_bytes >= FRAME && load->frame_bytes <= FRAME_LONGEST);

    return fits && load->flows > 0 && load->new_per_million <= MILLION && load->duration_ns > 0;
}

int dr_bench_generate(const struct dr_bench_load *load, struct dr_bench_sent *sent,
                      uint64_t *latencies_ns, size_t room, const int *stop)
{
    if (!makes_sense(load))
        return -EINVAL;
    struct generator *generator = calloc(1, sizeof(*generator));
    if (!generator)
        return -ENOMEM;
    memset(sent, 0, sizeof(*sent));
    generator->load = load;
    generator->sent = sent;
    generator->random = load->seed ? load->seed : 1;
    generator->youngest = load->first_flow;
    make_frames(generator);
    int result = open_ring(generator);
    if (result == 0 && load->sample_every)
        result = samples_open(&generator->samples, load->interface_index, latencies_ns, room);
    if (result == 0)
        result = send_all(generator, stop);
    if (result == 0 && generator->samples)
        wait_for_samples(generator);
    samples_close(generator->samples);
    slots_unmap(&generator->slots);
    if (generator->fd >= 0)
        close(generator->fd);
    free(generator);
    return result;
}
