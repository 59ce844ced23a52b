/* Waking a loop from other threads and from signal handlers. */
#ifndef EVENT_WAKER_H
#define EVENT_WAKER_H

#include "event/loop.h"

typedef struct loop_waker {
    struct event event;
    loop *loop;
    int fd;
    _Atomic bool pending; /* woken and not yet served: one write is enough */
    loop_cb cb;
    void *arg;
} loop_waker;

/* Returns 0 or ASYNQ_E_SYSTEM. */
int loop_waker_init(loop *l, loop_waker *waker, loop_cb cb, void *arg);
/* Makes the loop call `cb` soon. Several wakes before that call are one. Thread: any; safe in signal handlers. */
void loop_waker_wake(loop_waker *waker);
void loop_waker_clear(loop_waker *waker);

#endif
