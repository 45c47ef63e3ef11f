/* waiting.c -- poll(2), with an eye on what it reports unasked. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "waiting.h"

enum { PAUSE_MS = 20 }; /* until what was in trouble is looked at again */

/* Fetches the errors; whoever had one is not polled (a negative descriptor). */
static bool set_aside(struct pollfd *fds, nfds_t count)
{
    bool found = false;

    for (nfds_t i = 0; i < count; i++) {
        if (!(fds[i].revents & (POLLERR | POLLHUP | POLLNVAL)))
            continue;
        int error;
        socklen_t length = sizeof(error);
        /* What is no socket has none to fetch, and is set aside all the same. */
        (void)getsockopt(fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &length);
        fds[i].fd = -1;
        found = true;
    }
    return found;
}

static int at_most_a_pause(int timeout_ms)
{
    return timeout_ms < 0 || timeout_ms > PAUSE_MS ? PAUSE_MS : timeout_ms;
}

void wait_for(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    uint64_t ignored;
    int wake_fd = fds[0].fd;
    int ready = poll(fds, count, timeout_ms);

    /* Without memory for all of them, the one that wakes us must do. */
    if (ready < 0 && errno != EINTR)
        ready = poll(fds, 1, at_most_a_pause(timeout_ms));
    else if (ready > 0 && set_aside(fds, count))
        ready = poll(fds, count, at_most_a_pause(timeout_ms));
    if (ready > 0 && fds[0].revents & POLLIN && read(wake_fd, &ignored, sizeof(ignored)) < 0)
        return; /* somebody else has emptied it */
}
