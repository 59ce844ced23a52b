/* A timer on a loop, embedded in its owner. Thread: loop. */
#ifndef EVENT_TIMER_H
#define EVENT_TIMER_H

#include "event/loop.h"

typedef struct loop_timer {
    struct event event;
    loop *loop;
    loop_cb cb;
    void *arg;
} loop_timer;

void loop_timer_init(loop *l, loop_timer *timer, loop_cb cb, void *arg);
/* (Re)starts the timer; it fires once. Negative delays count as 0. */
void loop_timer_set(loop_timer *timer, int64_t delay_ms);
bool loop_timer_is_set(const loop_timer *timer);
void loop_timer_cancel(loop_timer *timer);

#endif
