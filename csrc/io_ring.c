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
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "io.h"

enum {
    VNET_HEADER = sizeof(struct virtio_net_hdr),
    ADDRESSES = 12, /* of a frame, before its tags */
    VLAN_TAG = 4,
    BLOCK_BYTES = 1024 * 1024,
    LARGE_SLOT_BYTES = 68 * 1024,
    SEND_HEADER = TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), /* before a slot's data */
    SLOT_OVERHEAD = 128,   /* ring header, address and vnet header before a frame's bytes */
    QUEUE = 256,           /* frames between two flushes, at most */
    SEND_TIMEOUT_MS = 100, /* how long a full interface may hold the loop up */
    LOOPBACK = 1,          /* lo's index in every network namespace: LOOPBACK_IFINDEX */
};

_Static_assert(VNET_HEADER == 10, "the short header; merged buffers have a longer one");
/* The kernel rounds up where the IP header is, and adds the vnet header's room behind that. */
_Static_assert(TPACKET_ALIGN(TPACKET2_HDRLEN + 16) - ETHER_HDR_LEN - VLAN_TAG >= TPACKET2_HDRLEN,
               "room for a tag");

struct ring {
    int fd;
    uint8_t *memory;
    size_t bytes;
    uint32_t slots;
    uint32_t slot_bytes;
    uint32_t slots_a_block;
    uint32_t head; /* the next slot to look at */
    uint32_t held; /* slots before head that are not given back */
};

struct rings {
    struct io io;
    struct ring small;
    struct ring large;
    struct ring send;
    uint32_t room; /* bytes of a frame that a slot of `send` takes */
    uint32_t queued;
    struct dr_frame *queue[QUEUE];
    uint32_t filled; /* slots of `send` that the kernel has not been told of */
    struct dr_frame *in_slots[QUEUE];
    int local_fd;
    int wake_fd;
    nfds_t others; /* of another end, by which frames may come in as well */
    int other_fds[DR_XSKS];
};

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

static void send_one(struct rings *rings, struct dr_frame *frame)
{
    struct ring *ring = &rings->send;

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
        {.fd = rings->small.fd, .events = POLLIN},
        {.fd = rings->large.fd, .events = POLLIN},
        {.fd = rings->wake_fd, .events = POLLIN},
    };
    uint64_t ignored;

    for (nfds_t i = 0; i < rings->others; i++)
        readable[3 + i] = (struct pollfd){.fd = rings->other_fds[i], .events = POLLIN};
    if (poll(readable, 3 + rings->others, timeout_ms) > 0 && readable[2].revents & POLLIN &&
        read(rings->wake_fd, &ignored, sizeof(ignored)) < 0)
        return;
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

/* ---- Opening and closing ---- */

static void ring_close(struct io *io)
{
    struct rings *rings = rings_of(io);
    struct ring *all[] = {&rings->small, &rings->large, &rings->send};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i]->memory)
            munmap(all[i]->memory, all[i]->bytes);
    if (rings->wake_fd >= 0)
        close(rings->wake_fd);
    free(rings);
}

static int set_option(int fd, int option, int value)
{
    return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int map_ring(struct ring *ring, int fd, int option, uint32_t slot_bytes, uint32_t slots)
{
    uint32_t a_block = BLOCK_BYTES / slot_bytes;
    uint32_t blocks = (slots + a_block - 1) / a_block;
    struct tpacket_req request = {
        .tp_block_size = BLOCK_BYTES,
        .tp_block_nr = blocks,
        .tp_frame_size = slot_bytes,
        .tp_frame_nr = blocks * a_block,
    };

    if (setsockopt(fd, SOL_PACKET, option, &request, sizeof(request)) < 0)
        return -errno;
    size_t bytes = (size_t)blocks * BLOCK_BYTES;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *ring = (struct ring){
        .fd = fd,
        .memory = memory,
        .bytes = bytes,
        .slots = blocks * a_block,
        .slot_bytes = slot_bytes,
        .slots_a_block = a_block,
    };
    return 0;
}

static int prepare(int fd)
{
    const struct timeval limit = {.tv_usec = SEND_TIMEOUT_MS * 1000};
    int result = set_option(fd, PACKET_VERSION, TPACKET_V2);

    if (result == 0)
        result = set_option(fd, PACKET_VNET_HDR, 1);
    if (result == 0)
        result = set_option(fd, PACKET_IGNORE_OUTGOING, 1);
    if (result == 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
        result = -errno;
    return result;
}

static int bind_to(int fd, int interface_index, uint16_t protocol)
{
    const struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(protocol),
        .sll_ifindex = interface_index,
    };

    return bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

static int open_receive(struct ring *ring, int fd, uint32_t slot_bytes, uint32_t slots)
{
    int result = prepare(fd);

    return result < 0 ? result : map_ring(ring, fd, PACKET_RX_RING, slot_bytes, slots);
}

/* Protocol 0: this socket is to send, and must not be given what arrives. */
static int open_send(struct ring *ring, const struct dr_ring *wanted)
{
    int result = prepare(wanted->send_fd);

    if (result == 0)
        result = map_ring(ring, wanted->send_fd, PACKET_TX_RING, wanted->small_slot_bytes,
                          wanted->send_slots);
    return result < 0 ? result : bind_to(wanted->send_fd, wanted->interface_index, 0);
}

static int open_local(int fd)
{
    int result = prepare(fd);

    return result < 0 ? result : bind_to(fd, LOOPBACK, 0);
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
    int result;

    if (!rings)
        return -ENOMEM;
    rings->io.ops = &ring_ops;
    rings->room = wanted->small_slot_bytes - SLOT_OVERHEAD;
    rings->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    result = rings->wake_fd < 0 ? -errno : 0;
    if (result == 0)
        result = open_receive(&rings->small, wanted->small_fd, wanted->small_slot_bytes,
                              wanted->small_slots);
    if (result == 0)
        result =
            open_receive(&rings->large, wanted->large_fd, LARGE_SLOT_BYTES, wanted->large_slots);
    if (result == 0)
        result = open_send(&rings->send, wanted);
    rings->local_fd = wanted->local_fd;
    if (result == 0 && wanted->local_fd > 0)
        result = open_local(wanted->local_fd);
    /* Bound last: from here on frames come in. */
    if (result == 0)
        result = bind_to(wanted->small_fd, wanted->interface_index, ETH_P_ALL);
    if (result == 0)
        result = bind_to(wanted->large_fd, wanted->interface_index, ETH_P_ALL);
    if (result < 0) {
        ring_close(&rings->io);
        return result;
    }
    *out = &rings->io;
    return 0;
}
