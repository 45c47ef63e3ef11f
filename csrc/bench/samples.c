/* samples.c -- frames that are waited for. A filter in the kernel lets only these into the ring,
 * and the kernel notes when they came, so that looking late costs nothing. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <linux/filter.h>
#include <stdlib.h>

#include "frames.h"
#include "samples.h"
#include "socket.h"

enum {
    MARK = 0xd1ce,
    SLOTS = 4096,
    REMEMBERED = 65536, /* samples under way, at most: the number is 16 bits */
};

struct samples {
    int fd;
    struct slots slots;
    uint64_t *latencies_ns;
    size_t room;
    uint64_t returned;
    uint16_t number;
    uint64_t sent_ns[REMEMBERED]; /* 0: not under way */
};

static int hear_marked(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, FRAME_MARK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MARK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, FRAME_MARK + 4),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

int samples_open(struct samples **out, int interface_index, uint64_t *latencies_ns, size_t room)
{
    struct samples *samples = calloc(1, sizeof(*samples));

    if (!samples)
        return -ENOMEM;
    samples->latencies_ns = latencies_ns;
    samples->room = room;
    samples->fd = socket(AF_PACKET, SOCK_RAW, 0);
    int result = samples->fd < 0 ? -errno : hear_marked(samples->fd);
    if (result == 0)
        result = set_option(samples->fd, PACKET_VERSION, TPACKET_V2);
    if (result == 0)
        result = set_option(samples->fd, PACKET_IGNORE_OUTGOING, 1);
    if (result == 0)
        result = slots_map(&samples->slots, samples->fd, PACKET_RX_RING, SLOTS);
    if (result == 0)
        result = bind_to(samples->fd, interface_index, ETH_P_ALL);
    if (result < 0) {
        samples_close(samples);
        return result;
    }
    *out = samples;
    return 0;
}

void samples_close(struct samples *samples)
{
    if (!samples)
        return;
    slots_unmap(&samples->slots);
    if (samples->fd >= 0)
        close(samples->fd);
    free(samples);
}

/* The kernel's time of arrival is of this clock. */
void samples_send(struct samples *samples, uint8_t *frame)
{
    uint16_t number = samples->number++;

    write16(frame + FRAME_MARK, MARK);
    write16(frame + FRAME_MARK + 2, number);
    samples->sent_ns[number] = read_clock(CLOCK_REALTIME);
}

static void take(struct samples *samples, const struct tpacket2_hdr *slot)
{
    const uint8_t *frame = (const uint8_t *)slot + slot->tp_mac;
    uint64_t *sent_ns = &samples->sent_ns[read16(frame + FRAME_MARK + 2)];
    uint64_t arrived_ns = (uint64_t)slot->tp_sec * 1000000000 + slot->tp_nsec;

    if (*sent_ns == 0 || arrived_ns < *sent_ns)
        return;
    if (samples->returned < samples->room)
        samples->latencies_ns[samples->returned] = arrived_ns - *sent_ns;
    samples->returned++;
    *sent_ns = 0;
}

uint64_t samples_collect(struct samples *samples)
{
    struct tpacket2_hdr *slot = slots_next(&samples->slots);

    for (; slots_status(slot) & TP_STATUS_USER; slot = slots_next(&samples->slots)) {
        take(samples, slot);
        slots_pass(&samples->slots, slot, TP_STATUS_KERNEL);
    }
    return samples->returned;
}
