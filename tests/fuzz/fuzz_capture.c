/* fuzz_capture.c -- any bytes as a capture file, in pieces of any size; each frame that is found
 * lies within its piece, and is the same again when it has been written and read once more. */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "pcapng.h"
#include "test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AROUND = 256 }; /* what a capture file needs beside a frame */

static void write_and_read(const struct capture_frame *frame)
{
    static struct capture again;
    const size_t room = frame->captured + AROUND;
    uint8_t *out = malloc(room);
    struct capture_frame read = {0};

    memset(&again, 0, sizeof(again));
    CHECK(out);
    size_t head = pcapng_begin(out, room);
    size_t length = pcapng_frame(out + head, room - head, frame->data, frame->captured,
                                 frame->length, frame->time_ns, "why", 3);
    CHECK(head > 0 && length > 0);
    size_t used = 0;
    while (capture_next(&again, out + used, head + length - used, &read) == CAPTURE_OTHER)
        used += read.used;
    CHECK(again.fault == DR_CAPTURE_FINE && used == head);
    CHECK(read.captured == frame->captured && read.length == frame->length);
    CHECK(read.time_ns == frame->time_ns);
    CHECK(memcmp(read.data, frame->data, read.captured) == 0);
    free(out);
}

static void check_frame(const struct capture_frame *frame, const uint8_t *piece, size_t left)
{
    CHECK(frame->captured <= CAPTURE_LONGEST && frame->captured <= frame->length);
    CHECK(frame->data >= piece && frame->data + frame->captured <= piece + left);
    CHECK(frame->used <= left);
    write_and_read(frame);
}

/* Everything in a piece that begins at `from`; returns where the next one begins. */
static size_t read_piece(struct capture *capture, const uint8_t *data, size_t from, size_t size)
{
    uint8_t *piece = malloc(size ? size : 1);
    enum capture_outcome outcome;
    struct capture_frame frame;
    size_t used = 0;

    CHECK(piece);
    memcpy(piece, data + from, size);
    while ((outcome = capture_next(capture, piece + used, size - used, &frame)) <= CAPTURE_OTHER) {
        if (outcome == CAPTURE_FRAME) {
            check_frame(&frame, piece + used, size - used);
            capture_take(capture, &frame);
        }
        CHECK(frame.used > 0 && frame.used <= size - used);
        used += frame.used;
    }
    CHECK((outcome == CAPTURE_FAULT) == (capture->fault != DR_CAPTURE_FINE));
    CHECK(capture->offset == from + used);
    free(piece);
    return from + used;
}

/* The first byte is how much more of the file each piece has. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct capture *capture = calloc(1, sizeof(*capture));

    CHECK(capture);
    if (size > 0) {
        size_t step = (size_t)data[0] + 1, at = 0, end = 0;
        while (capture->fault == DR_CAPTURE_FINE && end < size - 1) {
            end = size - 1 - end < step ? size - 1 : end + step;
            at = read_piece(capture, data + 1, at, end - at);
        }
    }
    free(capture);
    return 0;
}
