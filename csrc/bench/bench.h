/* bench.h -- the border between the benchmark's C and Python; read verbatim by both. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

/* What the generator sends. Flows are numbered; the last `flows` of them are alive. A frame opens
 * the next one (SYN) or belongs to any of the living (ACK), by chance. */
struct dr_bench_load {
    int interface_index;
    uint8_t to[6];        /* MAC address */
    uint16_t frame_bytes; /* 60 to 1514; 0: seven of 60, four of 590, one of 1514 (IMIX) */
    uint32_t first_flow;  /* the youngest flow there is; 0: the first `flows` frames open them */
    uint32_t flows;       /* alive at a time */
    uint32_t new_per_million; /* of a million frames so many open a flow */
    uint32_t sample_every;    /* of so many frames one is waited for; 0: none is */
    uint64_t rate;            /* frames a second; 0: as many as go */
    uint64_t frames;          /* at most; 0: until the time is over */
    uint64_t duration_ns;
    uint64_t seed;
};

struct dr_bench_sent {
    uint64_t frames;
    uint64_t bytes;
    uint64_t opened;  /* flows */
    uint64_t late;    /* frames that were due, and not sent, when the time was over */
    uint64_t samples; /* frames that should come back */
    uint64_t returned;
    uint64_t duration_ns;
};

/* Times until samples came back go into latencies_ns, in the order of their return. 0, or -errno:
 * -EINVAL for a load that makes no sense. Ends early once *stop is not 0. */
int dr_bench_generate(const struct dr_bench_load *load, struct dr_bench_sent *sent,
                      uint64_t *latencies_ns, size_t room, const int *stop);

/* A forwarder that decides nothing. Sockets and sizes are for the ring only. */
struct dr_bench_place {
    int interface_index;
    int small_fd;
    int large_fd;
    int send_fd;
    uint32_t slot_bytes;
    uint32_t small_slots;
    uint32_t large_slots;
    uint32_t send_slots;
};

struct dr_bench_work {
    int stop;  /* set by the caller, to end it */
    int ready; /* set once nothing that arrives is missed */
    uint64_t forwarded;
};

/* Each gives every frame other MAC addresses and sends it back. 0, or -errno. */
int dr_bench_recv_send(const struct dr_bench_place *place, struct dr_bench_work *work);
int dr_bench_recvmmsg(const struct dr_bench_place *place, struct dr_bench_work *work);
int dr_bench_ring(const struct dr_bench_place *place, struct dr_bench_work *work);

struct io;

/* An end (io.h) on which a frame of each of `flows` flows, from `first_flow` on, comes over and
 * over, to that MAC address. Sending a frame keeps the CPU busy for send_ns. NULL: no memory. */
struct io *dr_bench_treadmill(const uint8_t to[6], uint32_t first_flow, uint32_t flows,
                              uint32_t send_ns);

#endif
