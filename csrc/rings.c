/* rings.c -- AF_PACKET sockets as rings (packet(7), Documentation/networking/packet_mmap.rst). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "rings.h"

enum {
    LARGE_SLOT_BYTES = 68 * 1024,
    SLOT_OVERHEAD = 128,   /* ring header, address and vnet header before a frame's bytes */
    SEND_TIMEOUT_MS = 100, /* how long a full interface may hold the loop up */
    LOOPBACK = 1,          /* lo's index in every network namespace: LOOPBACK_IFINDEX */
};

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

int rings_open(struct rings *rings, const struct dr_ring *wanted)
{
    rings->room = wanted->small_slot_bytes - SLOT_OVERHEAD;
    rings->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result = rings->wake_fd < 0 ? -errno : 0;
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
    return result;
}

void rings_close(struct rings *rings)
{
    struct ring *all[] = {&rings->small, &rings->large, &rings->send};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i]->memory)
            munmap(all[i]->memory, all[i]->bytes);
    if (rings->wake_fd >= 0)
        close(rings->wake_fd);
}
