/* test_waiting.c -- sleeping on descriptors that are in trouble. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "test.h"
#include "waiting.h"

enum {
    LONG_MS = 10000,  /* nobody waits so long here */
    SHORT_MS = 30,    /* more than the pause */
    QUIET_MS = 300,   /* watched for spinning */
    FEW = 40,         /* turns in that time, at most */
    NOBODY = 1 << 20, /* no descriptor */
};

static int wake_fd;

static int64_t clock_ms(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wake(void)
{
    const uint64_t one = 1;

    CHECK(write(wake_fd, &one, sizeof(one)) == sizeof(one));
}

static void wait_on(int fd, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = wake_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

    wait_for(fds, 2, timeout_ms);
}

/* As a loop does that finds nothing to do. */
static int turns_on(int fd)
{
    int64_t end_ms = clock_ms() + QUIET_MS;
    int turns = 0;

    for (; clock_ms() < end_ms; turns++)
        wait_on(fd, QUIET_MS);
    return turns;
}

/* A UDP socket that has been told that nobody listens: an error is pending. */
static int refused(void)
{
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(nobody);
    int listener = socket(AF_INET, SOCK_DGRAM, 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    CHECK(listener >= 0 && fd >= 0);
    CHECK(bind(listener, (struct sockaddr *)&nobody, length) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&nobody, &length) == 0);
    CHECK(connect(fd, (struct sockaddr *)&nobody, length) == 0);
    CHECK(close(listener) == 0);
    CHECK(send(fd, "", 0, 0) == 0);
    struct pollfd pending = {.fd = fd};
    CHECK(poll(&pending, 1, LONG_MS) == 1 && pending.revents == POLLERR);
    return fd;
}

static void a_pending_error_is_fetched(void)
{
    int fd = refused();
    struct pollfd now = {.fd = fd};

    wait_on(fd, 0);
    CHECK(poll(&now, 1, 0) == 0);
    CHECK(close(fd) == 0);
}

static void what_is_closed_at_the_other_end_is_no_spinning(void)
{
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    CHECK(close(pair[1]) == 0);
    CHECK(turns_on(pair[0]) < FEW);
    CHECK(close(pair[0]) == 0);
}

static void what_is_no_descriptor_is_no_spinning(void)
{
    CHECK(turns_on(NOBODY) < FEW);
}

static void trouble_hides_no_waking(void)
{
    int64_t began_ms = clock_ms();

    wake();
    wait_on(NOBODY, LONG_MS);
    wake();
    wait_on(NOBODY, LONG_MS);
    CHECK(clock_ms() - began_ms < LONG_MS);
    struct pollfd left = {.fd = wake_fd, .events = POLLIN};
    CHECK(poll(&left, 1, 0) == 0);
}

static void trouble_of_one_hides_no_other(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    CHECK(send(pair[1], "x", 1, 0) == 1);
    struct pollfd fds[] = {
        {.fd = wake_fd, .events = POLLIN},
        {.fd = NOBODY, .events = POLLIN},
        {.fd = pair[0], .events = POLLIN},
    };

    wait_for(fds, 3, LONG_MS);
    CHECK(fds[2].revents == POLLIN);
    CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void a_short_time_is_kept(void)
{
    int64_t began_ms = clock_ms();

    wait_on(wake_fd, SHORT_MS);
    CHECK(clock_ms() - began_ms >= SHORT_MS - 1);
}

int main(void)
{
    wake_fd = eventfd(0, EFD_NONBLOCK);
    CHECK(wake_fd >= 0);
    RUN(a_pending_error_is_fetched);
    RUN(what_is_closed_at_the_other_end_is_no_spinning);
    RUN(what_is_no_descriptor_is_no_spinning);
    RUN(trouble_hides_no_waking);
    RUN(trouble_of_one_hides_no_other);
    RUN(a_short_time_is_kept);
    return close(wake_fd);
}
