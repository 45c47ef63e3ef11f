/* io_memory.c -- an end made of two queues in memory: what will be received, what was sent. It
 * needs no privilege, so tests, fuzzing, replay and benchmarks run the production loop on it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io.h"
#include "waiting.h"

enum { SLOT_BYTES = 80 * 1024 };

/* One thread puts, another takes. */
struct queue {
    struct dr_frame *frames; /* data points into bytes */
    uint8_t *bytes;
    uint64_t put;
    uint64_t taken;
};

struct memory {
    struct io io;
    uint32_t slots;
    struct queue in;
    struct queue out;
    uint64_t held; /* of `in`: received, not released */
    int wake_fd;
};

static struct memory *memory_of(struct io *io)
{
    return (struct memory *)(void *)io;
}

static uint64_t count_of(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void count_up(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELEASE);
}

static int queue_put(struct queue *queue, uint32_t slots, const struct dr_frame *frame)
{
    if (queue->put - count_of(&queue->taken) == slots)
        return -ENOBUFS;
    if (frame->captured > SLOT_BYTES)
        return -EMSGSIZE;
    uint64_t at = queue->put % slots;
    queue->frames[at] = *frame;
    queue->frames[at].send = 0;
    queue->frames[at].failed = 0;
    queue->frames[at].local = 0;
    queue->frames[at].data = queue->bytes + at * SLOT_BYTES;
    memcpy(queue->frames[at].data, frame->data, frame->captured);
    count_up(&queue->put, 1);
    return 0;
}

static int memory_receive(struct io *io, struct dr_frame *frames, int room)
{
    struct memory *memory = memory_of(io);
    struct queue *in = &memory->in;
    int count = 0;

    while (count < room && in->taken + memory->held < count_of(&in->put))
        frames[count++] = in->frames[(in->taken + memory->held++) % memory->slots];
    return count;
}

static void memory_send(struct io *io, struct dr_frame *frame)
{
    struct memory *memory = memory_of(io);

    frame->failed = queue_put(&memory->out, memory->slots, frame) < 0;
}

static void memory_flush(struct io *io)
{
    (void)io;
}

static void memory_release(struct io *io)
{
    struct memory *memory = memory_of(io);

    count_up(&memory->in.taken, memory->held);
    memory->held = 0;
}

static void memory_wait(struct io *io, int timeout_ms)
{
    struct pollfd readable = {.fd = memory_of(io)->wake_fd, .events = POLLIN};

    wait_for(&readable, 1, timeout_ms);
}

static void memory_wake(struct io *io)
{
    const uint64_t one = 1;

    if (write(memory_of(io)->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is awake */
}

static uint64_t memory_dropped(struct io *io)
{
    (void)io;
    return 0;
}

static void memory_close(struct io *io)
{
    struct memory *memory = memory_of(io);

    free(memory->in.frames);
    free(memory->in.bytes);
    free(memory->out.frames);
    free(memory->out.bytes);
    if (memory->wake_fd >= 0)
        close(memory->wake_fd);
    free(memory);
}

static const struct io_ops memory_ops = {
    .receive = memory_receive,
    .send = memory_send,
    .flush = memory_flush,
    .release = memory_release,
    .wait = memory_wait,
    .wake = memory_wake,
    .dropped = memory_dropped,
    .close = memory_close,
};

struct io *io_memory_open(uint32_t slots)
{
    struct memory *memory = calloc(1, sizeof(*memory));

    if (!memory)
        return NULL;
    memory->io.ops = &memory_ops;
    memory->slots = slots;
    memory->in.frames = calloc(slots, sizeof(struct dr_frame));
    memory->in.bytes = calloc(slots, SLOT_BYTES);
    memory->out.frames = calloc(slots, sizeof(struct dr_frame));
    memory->out.bytes = calloc(slots, SLOT_BYTES);
    memory->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!memory->in.frames || !memory->in.bytes || !memory->out.frames || !memory->out.bytes ||
        memory->wake_fd < 0) {
        memory_close(&memory->io);
        return NULL;
    }
    return &memory->io;
}

int io_memory_push(struct io *io, const struct dr_frame *frame)
{
    struct memory *memory = memory_of(io);

    if (io->ops != &memory_ops)
        return -EINVAL;
    return queue_put(&memory->in, memory->slots, frame);
}

size_t io_memory_pop(struct io *io, uint8_t *bytes, size_t room)
{
    struct memory *memory = memory_of(io);
    struct queue *out = &memory->out;

    if (io->ops != &memory_ops || out->taken == count_of(&out->put))
        return 0;
    const struct dr_frame *frame = &out->frames[out->taken % memory->slots];
    size_t length = frame->captured < room ? frame->captured : room;
    memcpy(bytes, frame->data, length);
    count_up(&out->taken, 1);
    return length;
}
