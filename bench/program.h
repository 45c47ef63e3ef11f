/* program.h -- what the programs of the benchmark share: a CPU, a clock, a packet socket.
 * They are compiled with -D_GNU_SOURCE. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static inline void require(bool fine, const char *what)
{
    if (fine)
        return;
    perror(what);
    exit(1);
}

static inline uint64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void pin_to(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    require(sched_setaffinity(0, sizeof(set), &set) == 0, "CPU");
}

static inline void set_option(int fd, int option)
{
    const int on = 1;

    require(setsockopt(fd, SOL_PACKET, option, &on, sizeof(on)) == 0, "packet socket option");
}

/* With protocol 0 it is not given what arrives. */
static inline void bind_to(int fd, const char *interface, uint16_t protocol)
{
    const struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(protocol),
        .sll_ifindex = (int)if_nametoindex(interface),
    };

    require(address.sll_ifindex > 0, interface);
    require(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0, "bind");
}

static inline void parse_mac(const char *text, uint8_t mac[6])
{
    require(sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4,
                   mac + 5) == 6,
            text);
}

#endif
