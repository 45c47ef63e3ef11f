/* xsk.c -- one AF_XDP socket. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "xsk.h"

enum {
    PENDING = 256,   /* frames lent, and frames queued between two flushes, at most */
    SEND_BUDGET = 9, /* XDP_MAX_TX_SKB_BUDGET, of Linux 6.17 */
};

_Static_assert(sizeof(struct xdp_desc) == 16, "as the kernel lays out the receive and send rings");

/* One reader, one writer, of which the kernel is one. */
struct ring {
    uint32_t *producer;
    uint32_t *consumer;
    uint32_t *flags;
    void *entries;
    uint32_t mask;
    uint32_t at; /* our own end */
    void *memory;
    size_t bytes;
};

struct xsk {
    int fd;
    uint32_t chunk_bytes;
    uint32_t count; /* of chunks */
    uint8_t *chunks;
    struct ring fill;
    struct ring completed;
    struct ring received;
    struct ring sent;
    uint32_t lent_count;
    uint64_t lent[PENDING];
    bool *is_sent; /* a chunk, by its number: it comes back by itself */
    uint32_t pending;
    struct dr_frame *frames[PENDING];
    uint64_t dropped;
};

static uint32_t producer_of(const struct ring *ring)
{
    return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
}

static uint32_t consumer_of(const struct ring *ring)
{
    return __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
}

static uint64_t *address_at(const struct ring *ring, uint32_t index)
{
    return (uint64_t *)ring->entries + (index & ring->mask);
}

static struct xdp_desc *description_at(const struct ring *ring, uint32_t index)
{
    return (struct xdp_desc *)ring->entries + (index & ring->mask);
}

static bool wants_wakeup(const struct ring *ring)
{
    return __atomic_load_n(ring->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

static uint32_t chunk_of(const struct xsk *xsk, uint64_t address)
{
    return (uint32_t)(address / xsk->chunk_bytes);
}

/* ---- Receiving ---- */

static void publish_fill(struct xsk *xsk)
{
    __atomic_store_n(xsk->fill.producer, xsk->fill.at, __ATOMIC_RELEASE);
    if (wants_wakeup(&xsk->fill))
        recvfrom(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static void give_chunk(struct xsk *xsk, uint32_t chunk)
{
    *address_at(&xsk->fill, xsk->fill.at++) = (uint64_t)chunk * xsk->chunk_bytes;
}

/* Chunks whose frames have left. */
static void take_back(struct xsk *xsk)
{
    struct ring *completed = &xsk->completed;
    uint32_t end = producer_of(completed);

    for (; completed->at != end; completed->at++) {
        uint32_t chunk = chunk_of(xsk, *address_at(completed, completed->at));
        xsk->is_sent[chunk] = false;
        give_chunk(xsk, chunk);
    }
    __atomic_store_n(completed->consumer, end, __ATOMIC_RELEASE);
}

int xsk_receive(struct xsk *xsk, struct dr_frame *frames, int room)
{
    struct ring *received = &xsk->received;
    uint32_t end = producer_of(received);
    int count = 0;

    for (; received->at != end && count < room && xsk->lent_count < PENDING; received->at++) {
        const struct xdp_desc *description = description_at(received, received->at);
        xsk->lent[xsk->lent_count++] = description->addr;
        frames[count++] = (struct dr_frame){
            .data = xsk->chunks + description->addr,
            .length = description->len,
            .captured = description->len,
        };
    }
    if (count > 0)
        __atomic_store_n(received->consumer, received->at, __ATOMIC_RELEASE);
    return count;
}

void xsk_release(struct xsk *xsk)
{
    for (uint32_t i = 0; i < xsk->lent_count; i++) {
        uint32_t chunk = chunk_of(xsk, xsk->lent[i]);
        if (!xsk->is_sent[chunk])
            give_chunk(xsk, chunk);
    }
    xsk->lent_count = 0;
    take_back(xsk);
    if (xsk->fill.at != *xsk->fill.producer)
        publish_fill(xsk);
}

uint64_t xsk_dropped(struct xsk *xsk)
{
    struct xdp_statistics counted = {0};
    socklen_t length = sizeof(counted);

    if (getsockopt(xsk->fd, SOL_XDP, XDP_STATISTICS, &counted, &length) < 0)
        return 0;
    uint64_t all = counted.rx_dropped + counted.rx_ring_full;
    uint64_t fresh = all - xsk->dropped;
    xsk->dropped = all;
    return fresh;
}

/* ---- Sending ---- */

bool xsk_holds(const struct xsk *xsk, const uint8_t *data)
{
    size_t bytes = (size_t)xsk->count * xsk->chunk_bytes;

    return data >= xsk->chunks && data < xsk->chunks + bytes;
}

void xsk_send(struct xsk *xsk, struct dr_frame *frame)
{
    uint64_t address = (uint64_t)(frame->data - xsk->chunks);

    if (xsk->pending == PENDING)
        xsk_flush(xsk);
    *description_at(&xsk->sent, xsk->sent.at++) =
        (struct xdp_desc){.addr = address, .len = frame->length};
    xsk->is_sent[chunk_of(xsk, address)] = true;
    xsk->frames[xsk->pending++] = frame;
}

static void mark_failed(struct xsk *xsk, uint32_t index)
{
    uint32_t first = xsk->sent.at - xsk->pending;

    if (index - first < xsk->pending)
        xsk->frames[index - first]->failed = 1;
}

/* What the kernel says EBUSY for it has taken, and lost. Anything but that and "later" is said for
 * an interface that takes nothing, which is when frames stay in the ring. */
static bool ask_kernel(struct xsk *xsk)
{
    uint32_t before = consumer_of(&xsk->sent);

    if (sendto(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0) {
        if (errno == EBUSY)
            mark_failed(xsk, consumer_of(&xsk->sent) - 1);
        else if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
            for (uint32_t i = consumer_of(&xsk->sent); i != xsk->sent.at; i++)
                mark_failed(xsk, i);
    }
    return consumer_of(&xsk->sent) != before;
}

bool xsk_is_behind(const struct xsk *xsk)
{
    return consumer_of(&xsk->sent) != xsk->sent.at;
}

void xsk_flush(struct xsk *xsk)
{
    __atomic_store_n(xsk->sent.producer, xsk->sent.at, __ATOMIC_RELEASE);
    while (xsk_is_behind(xsk) && wants_wakeup(&xsk->sent) && ask_kernel(xsk))
        continue;
    xsk->pending = 0;
}

/* ---- Opening and closing ---- */

static int set_option(int fd, int option, const void *value, socklen_t length)
{
    return setsockopt(fd, SOL_XDP, option, value, length) < 0 ? -errno : 0;
}

static int map_ring(struct ring *ring, int fd, const struct xdp_ring_offset *offset, off_t where,
                    size_t entry_bytes, uint32_t count)
{
    size_t bytes = offset->desc + entry_bytes * count;
    uint8_t *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, where);

    if (memory == MAP_FAILED)
        return -errno;
    *ring = (struct ring){
        .producer = (uint32_t *)(void *)(memory + offset->producer),
        .consumer = (uint32_t *)(void *)(memory + offset->consumer),
        .flags = (uint32_t *)(void *)(memory + offset->flags),
        .entries = memory + offset->desc,
        .mask = count - 1,
        .memory = memory,
        .bytes = bytes,
    };
    return 0;
}

static int map_rings(struct xsk *xsk)
{
    struct xdp_mmap_offsets offsets;
    socklen_t length = sizeof(offsets);
    uint32_t count = xsk->count;
    size_t address = sizeof(uint64_t), description = sizeof(struct xdp_desc);

    if (getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) < 0)
        return -errno;
    int result =
        map_ring(&xsk->fill, xsk->fd, &offsets.fr, XDP_UMEM_PGOFF_FILL_RING, address, count);
    if (result == 0)
        result = map_ring(&xsk->completed, xsk->fd, &offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING,
                          address, count);
    if (result == 0)
        result =
            map_ring(&xsk->received, xsk->fd, &offsets.rx, XDP_PGOFF_RX_RING, description, count);
    if (result == 0)
        result = map_ring(&xsk->sent, xsk->fd, &offsets.tx, XDP_PGOFF_TX_RING, description, count);
    return result;
}

static int make_rings(struct xsk *xsk)
{
    static const int options[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING,
                                  XDP_TX_RING};
    const struct xdp_umem_reg memory = {
        .addr = (uint64_t)(uintptr_t)xsk->chunks,
        .len = (uint64_t)xsk->count * xsk->chunk_bytes,
        .chunk_size = xsk->chunk_bytes,
    };
    int result = set_option(xsk->fd, XDP_UMEM_REG, &memory, sizeof(memory));

    for (size_t i = 0; result == 0 && i < sizeof(options) / sizeof(options[0]); i++)
        result = set_option(xsk->fd, options[i], &xsk->count, sizeof(xsk->count));
    /* How many it sends a call; older kernels have 32, and are asked more often. */
    set_option(xsk->fd, SEND_BUDGET, &(uint32_t){PENDING}, sizeof(uint32_t));
    return result < 0 ? result : map_rings(xsk);
}

static int bind_to(const struct dr_xsk *wanted)
{
    const struct sockaddr_xdp address = {
        .sxdp_family = AF_XDP,
        .sxdp_flags = XDP_USE_NEED_WAKEUP | (wanted->must_not_copy ? XDP_ZEROCOPY : 0),
        .sxdp_ifindex = (uint32_t)wanted->interface_index,
        .sxdp_queue_id = wanted->queue,
    };
    const struct sockaddr *plain = (const struct sockaddr *)&address;

    return bind(wanted->fd, plain, sizeof(address)) < 0 ? -errno : 0;
}

static int make_memory(struct xsk *xsk)
{
    size_t bytes = (size_t)xsk->count * xsk->chunk_bytes;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED)
        return -errno;
    xsk->chunks = memory;
    xsk->is_sent = calloc(xsk->count, sizeof(*xsk->is_sent));
    return xsk->is_sent ? 0 : -ENOMEM;
}

int xsk_open(struct xsk **out, const struct dr_xsk *wanted)
{
    struct xsk *xsk = calloc(1, sizeof(*xsk));

    if (!xsk)
        return -ENOMEM;
    xsk->fd = wanted->fd;
    xsk->chunk_bytes = wanted->chunk_bytes;
    xsk->count = wanted->chunks;
    int result = make_memory(xsk);
    if (result == 0)
        result = make_rings(xsk);
    if (result < 0) {
        xsk_close(xsk);
        return result;
    }
    for (uint32_t chunk = 0; chunk < xsk->count; chunk++)
        give_chunk(xsk, chunk);
    __atomic_store_n(xsk->fill.producer, xsk->fill.at, __ATOMIC_RELEASE);
    result = bind_to(wanted);
    if (result < 0)
        xsk_close(xsk);
    else
        *out = xsk;
    return result;
}

void xsk_close(struct xsk *xsk)
{
    if (!xsk)
        return;
    struct ring *all[] = {&xsk->fill, &xsk->completed, &xsk->received, &xsk->sent};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i]->memory)
            munmap(all[i]->memory, all[i]->bytes);
    if (xsk->chunks)
        munmap(xsk->chunks, (size_t)xsk->count * xsk->chunk_bytes);
    free(xsk->is_sent);
    free(xsk);
}
