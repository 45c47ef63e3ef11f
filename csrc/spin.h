/* spin.h -- a lock that is waited for a moment before the thread sleeps: on a virtual machine,
 * waking takes longer than what the gate is held for. */
#ifndef SPIN_H
#define SPIN_H

#include <pthread.h>

enum { SPIN_TRIES = 32, SPIN_PAUSES = 8 }; /* some microseconds: about as long as a batch takes */

#if defined(__x86_64__) || defined(__i386__)
static inline void spin_pause(void)
{
    __builtin_ia32_pause();
}
#elif defined(__aarch64__)
static inline void spin_pause(void)
{
    __asm__ volatile("isb");
}
#else
static inline void spin_pause(void)
{
    __asm__ volatile("");
}
#endif

static inline void spin_lock(pthread_mutex_t *lock)
{
    for (int i = 0; i < SPIN_TRIES; i++) {
        if (pthread_mutex_trylock(lock) == 0)
            return;
        for (int pause = 0; pause < SPIN_PAUSES; pause++)
            spin_pause();
    }
    pthread_mutex_lock(lock);
}

#endif
