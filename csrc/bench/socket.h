/* socket.h -- what generator, samples and baselines share: a packet socket, its rings, a clock. */
#ifndef BENCH_SOCKET_H
#define BENCH_SOCKET_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { VNET_HEADER = sizeof(struct virtio_net_hdr) };

static inline uint64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline int set_option(int fd, int option, int value)
{
    return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* With protocol 0 it is not given what arrives. */
static inline int bind_to(int fd, int interface_index, uint16_t protocol)
{
    const struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(protocol),
        .sll_ifindex = interface_index,
    };

    return bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/* A ring of slots of 2 KiB, one after the other. */
struct slots {
    uint8_t *memory;
    uint32_t count;
    uint32_t next;
};

enum { SLOT_BYTES = 2048, SLOTS_BLOCK_BYTES = 1024 * 1024 };

static inline int slots_map(struct slots *slots, int fd, int option, uint32_t count)
{
    size_t bytes = (size_t)count * SLOT_BYTES;
    struct tpacket_req request = {
        .tp_block_size = SLOTS_BLOCK_BYTES,
        .tp_block_nr = (unsigned)(bytes / SLOTS_BLOCK_BYTES),
        .tp_frame_size = SLOT_BYTES,
        .tp_frame_nr = count,
    };

    if (setsockopt(fd, SOL_PACKET, option, &request, sizeof(request)) < 0)
        return -errno;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *slots = (struct slots){.memory = memory, .count = count};
    return 0;
}

static inline void slots_unmap(struct slots *slots)
{
    if (slots->memory)
        munmap(slots->memory, (size_t)slots->count * SLOT_BYTES);
}

static inline struct tpacket2_hdr *slots_next(const struct slots *slots)
{
    return (struct tpacket2_hdr *)(void *)(slots->memory + (size_t)slots->next * SLOT_BYTES);
}

static inline void slots_pass(struct slots *slots, struct tpacket2_hdr *slot, uint32_t status)
{
    __atomic_store_n(&slot->tp_status, status, __ATOMIC_RELEASE);
    slots->next = slots->next + 1 == slots->count ? 0 : slots->next + 1;
}

static inline uint32_t slots_status(const struct tpacket2_hdr *slot)
{
    return __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);
}

#endif
