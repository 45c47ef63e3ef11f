/* samples.h -- frames that are waited for: when each was sent, and how long until it was back. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct samples;

/* -errno, or 0; hears what arrives on the interface. */
int samples_open(struct samples **out, int interface_index, uint64_t *latencies_ns, size_t room);
void samples_close(struct samples *samples);
/* Marks a frame and notes the time; to be called right before it goes. */
void samples_send(struct samples *samples, uint8_t *frame);
/* Takes what came back; how many samples that is so far. */
uint64_t samples_collect(struct samples *samples);

#endif
