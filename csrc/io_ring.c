/* io_ring.c -- the real end: AF_PACKET rings (packet(7), Documentation/networking/packet_mmap.rst).
 *
 * Receiving: two TPACKET_V2 rings, because a slot must hold the longest frame it may get. Filters
 * part the frames by length: ordinary ones into many short slots, super-frames (segments joined by
 * offloads) into few long ones. Version 3 would pack both into blocks, but hands a block over only
 * when it is full or a whole millisecond has passed: a lone frame would wait.
 * Sending: ordinary frames are copied into a transmit ring and go out with one system call a
 * batch; super-frames go straight from their receive slot.
 * The kernel takes a frame's outer VLAN tag out; it is put back where it was, so that the core
 * sees, and sends, the frame as it was on the wire.
 * PACKET_VNET_HDR goes with every frame both ways: it carries an unfinished checksum and the
 * segment size from the sender's offloads through to the way out. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rings.h"
#include "sctp_crc.h"
#include "waiting.h"

enum {
    VNET_HEADER = sizeof(struct virtio_net_hdr),
    ADDRESSES = 12, /* of a frame, before its tags */
    VLAN_TAG = 4,
    SEND_HEADER = TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), /* before a slot's data */
};

_Static_assert(VNET_HEADER == 10, "the short header; merged buffers have a longer one");
/* The kernel rounds up where the IP header is, and adds the vnet header's room behind that. */
_Static_assert(TPACKET_ALIGN(TPACKET2_HDRLEN + 16) - ETHER_HDR_LEN - VLAN_TAG >= TPACKET2_HDRLEN,
               "room for a tag");

static struct rings *rings_of(struct io *io)
{
    return (struct rings *)(void *)io;
}

/* ---- Slots ---- */

static struct tpacket2_hdr *slot_at(const struct ring *ring, uint32_t index)
{
    size_t block = index / ring->slots_a_block;
    size_t within = index % ring->slots_a_block;
    size_t at = block * BLOCK_BYTES + within * ring->slot_bytes;

    return (struct tpacket2_hdr *)(void *)(ring->memory + at);
}

static uint32_t slot_after(const struct ring *ring, uint32_t index)
{
    return index + 1 == ring->slots ? 0 : index + 1;
}

/* The kernel writes a slot, then its status; acquire and release keep that order for both. */
static uint32_t slot_status(const struct tpacket2_hdr *slot)
{
    return __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);
}

static void slot_give(struct tpacket2_hdr *slot, uint32_t status)
{
    __atomic_store_n(&slot->tp_status, status, __ATOMIC_RELEASE);
}

/* ---- Receiving ---- */

static struct tpacket2_hdr *ready_slot(const struct ring *ring)
{
    if (ring->held == ring->slots)
        return NULL;
    struct tpacket2_hdr *slot = slot_at(ring, ring->head);
    return slot_status(slot) & TP_STATUS_USER ? slot : NULL;
}

static bool is_earlier(const struct tpacket2_hdr *a, const struct tpacket2_hdr *b)
{
    return a->tp_sec != b->tp_sec ? a->tp_sec < b->tp_sec : a->tp_nsec <= b->tp_nsec;
}

/* Moves what lies before the tag's place, vnet header and addresses, down into the slot's headroom:
 * between the ring's own header and the vnet header there are 14 bytes that nobody uses. Offsets in
 * the vnet header are from the frame's beginning, and the kernel has not counted the tag. */
static void put_tag_back(struct dr_frame *frame, struct tpacket2_hdr *slot)
{
    bool has_type = slot_status(slot) & TP_STATUS_VLAN_TPID_VALID;
    uint16_t type = htons(has_type ? slot->tp_vlan_tpid : ETH_P_8021Q);
    uint16_t control = htons(slot->tp_vlan_tci);
    struct virtio_net_hdr vnet;

    memcpy(&vnet, frame->data - VNET_HEADER, VNET_HEADER);
    if (vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        vnet.csum_start += VLAN_TAG;
    if (vnet.hdr_len > 0)
        vnet.hdr_len += VLAN_TAG;
    memmove(frame->data - VLAN_TAG, frame->data, ADDRESSES);
    frame->data -= VLAN_TAG;
    memcpy(frame->data - VNET_HEADER, &vnet, VNET_HEADER);
    memcpy(frame->data + ADDRESSES, &type, sizeof(type));
    memcpy(frame->data + ADDRESSES + sizeof(type), &control, sizeof(control));
    frame->length += VLAN_TAG;
    frame->captured += VLAN_TAG;
}

static struct dr_frame frame_in(struct tpacket2_hdr *slot)
{
    struct virtio_net_hdr vnet;
    struct dr_frame frame = {
        .data = (uint8_t *)slot + slot->tp_mac,
        .length = slot->tp_len,
        .captured = slot->tp_snaplen,
    };

    memcpy(&vnet, frame.data - VNET_HEADER, VNET_HEADER);
    if (vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        frame.gso_size = vnet.gso_size;
    if (slot_status(slot) & TP_STATUS_VLAN_VALID && frame.captured >= ADDRESSES)
        put_tag_back(&frame, slot);
    return frame;
}

/* In the order of arrival over both rings, so that a flow's frames stay in order. */
static int ring_receive(struct io *io, struct dr_frame *frames, int room)
{
    struct rings *rings = rings_of(io);
    int count = 0;

    while (count < room) {
        struct tpacket2_hdr *small = ready_slot(&rings->small);
        struct tpacket2_hdr *large = ready_slot(&rings->large);
        if (!small && !large)
            break;
        bool take_small = small && (!large || is_earlier(small, large));
        struct ring *ring = take_small ? &rings->small : &rings->large;
        frames[count++] = frame_in(take_small ? small : large);
        ring->head = slot_after(ring, ring->head);
        ring->held++;
    }
    return count;
}

static void give_back(struct ring *ring)
{
    uint32_t index = (ring->head + ring->slots - ring->held) % ring->slots;

    for (; ring->held > 0; ring->held--) {
        slot_give(slot_at(ring, index), TP_STATUS_KERNEL);
        index = slot_after(ring, index);
    }
}

static void ring_release(struct io *io)
{
    give_back(&rings_of(io)->small);
    give_back(&rings_of(io)->large);
}

/* ---- Sending ---- */

/* `bytes` are the frame's, with the vnet header right before them: so they lie in a slot, and
 * whoever makes a frame leaves room for one, zeroed. */
static void send_directly(int fd, struct dr_frame *frame, const uint8_t *bytes)
{
    size_t length = (size_t)frame->length + VNET_HEADER;

    frame->failed = send(fd, bytes - VNET_HEADER, length, 0) != (ssize_t)length;
}

/* A header length of the whole frame makes the kernel copy it into one piece, which is cheaper for
 * short frames than mapping the slot's page and copying that when the frame changes hands. */
static void fill(struct tpacket2_hdr *slot, const struct dr_frame *frame)
{
    uint8_t *data = (uint8_t *)slot + SEND_HEADER;
    struct virtio_net_hdr vnet;

    memcpy(&vnet, frame->data - VNET_HEADER, VNET_HEADER);
    if (vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
        vnet.hdr_len = (uint16_t)frame->length;
    memcpy(data, &vnet, VNET_HEADER);
    memcpy(data + VNET_HEADER, frame->data, frame->length);
    slot->tp_len = frame->length + VNET_HEADER;
    slot_give(slot, TP_STATUS_SEND_REQUEST);
}

/* What the kernel left in the ring is taken out again, and sent one by one to learn its fate. */
static void send_leftovers(struct rings *rings, uint32_t first)
{
    struct ring *ring = &rings->send;
    uint32_t index = first;
    uint32_t unsent = UINT32_MAX;

    for (uint32_t i = 0; i < rings->filled; i++, index = slot_after(ring, index)) {
        struct tpacket2_hdr *slot = slot_at(ring, index);
        uint32_t status = slot_status(slot);
        if (status != TP_STATUS_SEND_REQUEST && status != TP_STATUS_WRONG_FORMAT)
            continue;
        if (unsent == UINT32_MAX)
            unsent = index;
        slot_give(slot, TP_STATUS_AVAILABLE);
        const uint8_t *bytes = (const uint8_t *)slot + SEND_HEADER + VNET_HEADER;
        send_directly(rings->large.fd, rings->in_slots[i], bytes);
    }
    /* The kernel goes on where it stopped, and so must we. */
    if (unsent != UINT32_MAX)
        ring->head = unsent;
}

static void send_slots(struct rings *rings)
{
    struct ring *ring = &rings->send;

    if (rings->filled == 0)
        return;
    uint32_t first = (ring->head + ring->slots - rings->filled) % ring->slots;
    ssize_t sent;
    do
        sent = send(ring->fd, NULL, 0, MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    uint32_t last = (ring->head + ring->slots - 1) % ring->slots;
    uint32_t status = slot_status(slot_at(ring, last));
    if (sent < 0 || status == TP_STATUS_SEND_REQUEST || status == TP_STATUS_WRONG_FORMAT)
        send_leftovers(rings, first);
    rings->filled = 0;
}

/* The vnet header has no word for a CRC: whoever finishes what it hands on would write a sum of RFC
 * 1071 in its place. Only SCTP has its checksum there. */
static void finish_what_cannot_be_said(struct dr_frame *frame)
{
    struct virtio_net_hdr vnet;

    memcpy(&vnet, frame->data - VNET_HEADER, VNET_HEADER);
    if (!(vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || vnet.csum_offset != SCTP_CHECKSUM ||
        vnet.csum_start + (uint32_t)SCTP_HEADER > frame->length)
        return;
    finish_sctp(frame->data + vnet.csum_start, frame->length - vnet.csum_start);
    vnet.flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
    memcpy(frame->data - VNET_HEADER, &vnet, VNET_HEADER);
}

static void send_one(struct rings *rings, struct dr_frame *frame)
{
    struct ring *ring = &rings->send;

    finish_what_cannot_be_said(frame);
    /* The host's own stack receives it within this call; that costs more than the call. */
    if (frame->local) {
        send_directly(rings->local_fd, frame, frame->data);
        return;
    }
    struct tpacket2_hdr *slot = slot_at(ring, ring->head);
    bool is_full = slot_status(slot) != TP_STATUS_AVAILABLE;
    if (frame->length > rings->room || is_full) {
        send_slots(rings);
        send_directly(rings->large.fd, frame, frame->data);
        return;
    }
    fill(slot, frame);
    rings->in_slots[rings->filled++] = frame;
    ring->head = slot_after(ring, ring->head);
}

static void ring_flush(struct io *io)
{
    struct rings *rings = rings_of(io);

    for (uint32_t i = 0; i < rings->queued; i++)
        send_one(rings, rings->queue[i]);
    send_slots(rings);
    rings->queued = 0;
}

static void ring_send(struct io *io, struct dr_frame *frame)
{
    struct rings *rings = rings_of(io);

    if (rings->queued == QUEUE)
        ring_flush(io);
    rings->queue[rings->queued++] = frame;
}

/* ---- Waiting ---- */

static void ring_wait(struct io *io, int timeout_ms)
{
    struct rings *rings = rings_of(io);
    struct pollfd readable[3 + DR_XSKS] = {
        {.fd = rings->wake_fd, .events = POLLIN},
        {.fd = rings->small.fd, .events = POLLIN},
        {.fd = rings->large.fd, .events = POLLIN},
    };

    for (nfds_t i = 0; i < rings->others; i++)
        readable[3 + i] = (struct pollfd){.fd = rings->other_fds[i], .events = POLLIN};
    wait_for(readable, 3 + rings->others, timeout_ms);
}

void io_ring_wait_for(struct io *io, int fd)
{
    struct rings *rings = rings_of(io);

    rings->other_fds[rings->others++] = fd;
}

static void ring_wake(struct io *io)
{
    const uint64_t one = 1;

    if (write(rings_of(io)->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is awake */
}

static uint64_t drops_of(const struct ring *ring)
{
    struct tpacket_stats counted = {0};
    socklen_t length = sizeof(counted);

    /* Reading it sets it to zero. */
    if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &counted, &length) < 0)
        return 0;
    return counted.tp_drops;
}

static uint64_t ring_dropped(struct io *io)
{
    return drops_of(&rings_of(io)->small) + drops_of(&rings_of(io)->large);
}

/* ---- The end ---- */

static void ring_close(struct io *io)
{
    rings_close(rings_of(io));
    free(rings_of(io));
}

static const struct io_ops ring_ops = {
    .receive = ring_receive,
    .send = ring_send,
    .flush = ring_flush,
    .release = ring_release,
    .wait = ring_wait,
    .wake = ring_wake,
    .dropped = ring_dropped,
    .close = ring_close,
};

int io_ring_open(struct io **out, const struct dr_ring *wanted)
{
    struct rings *rings = calloc(1, sizeof(*rings));

    if (!rings)
        return -ENOMEM;
    rings->io.ops = &ring_ops;
    int result = rings_open(rings, wanted);
    if (result < 0)
        ring_close(&rings->io);
    else
        *out = &rings->io;
    return result;
}
