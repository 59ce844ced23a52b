/*
 * How many tasks are taken for something that runs only some at a time, a pool of processes or a host: as many as have
 * a place there, and those that will get one within some 30 ms at the present pace, so that nothing stands idle while
 * the next are on their way. All others stay in their queues; see asynq_capacity in <asynq/server.h>.
 *
 * Thread: that of the daemon's loop.
 */
#ifndef HANDLER_ADMISSION_H
#define HANDLER_ADMISSION_H

#include "event/timer.h"

#include <asynq/server.h>

typedef struct admission {
    asynq_capacity *capacity;
    loop *loop;
    loop_timer look;
    size_t places;  /* tasks that can run at the same time */
    size_t ahead;   /* beyond them */
    uint64_t begun; /* since the last look */
    double pace;    /* tasks per ms */
    int64_t looked_at_ms;
    bool (*looked)(void *arg);
    void *arg;
} admission;

/*
 * `looked` is called each time the pace was measured, and tells whether there is anything left to run. Returns 0 or
 * ASYNQ_E_NO_MEMORY.
 */
ASYNQ_MUST_CHECK int admission_init(admission *a, loop *l, size_t places, bool (*looked)(void *arg), void *arg);
void admission_clear(admission *a);
void admission_set_places(admission *a, size_t places);
/* A task has got its place. */
void admission_begin(admission *a);

#endif
