/*
 * The end of asynqd, as it is told to stop:
 *
 *   what follows is announced --> running tasks end, within shutdown_timeout --> jobs and PostgreSQL end, in a thread,
 *   for they wait --> the private Redis writes its data and ends --> the loop stops
 *
 * Thread: that of the loop.
 */
#ifndef DAEMON_ENDING_H
#define DAEMON_ENDING_H

#include "daemon/endpoints.h"
#include "daemon/job_schedule.h"
#include "daemon/liveness.h"
#include "daemon/private_redis.h"
#include "daemon/reload.h"
#include "daemon/work.h"
#include "event/waker.h"
#include "pg/database.h"

#include <pthread.h>

/* What ends. All of it is borrowed, and is freed afterwards by its owner. */
typedef struct ending_parts {
    loop *loop;
    log_sink *log;
    reload *reload;
    liveness *liveness;
    endpoints *endpoints; /* these four may be NULL */
    job_schedule *jobs;
    database *database;
    private_redis *redis; /* stops the loop when it has ended */
    work *work;
} ending_parts;

typedef struct ending {
    ending_parts parts;
    bool has_begun;
    pthread_t thread;
    loop_waker thread_ends;
} ending;

/* Returns 0 or ASYNQ_E_SYSTEM. */
ASYNQ_MUST_CHECK int ending_init(ending *e, loop *l);
void ending_clear(ending *e);
/* Begins; when it has begun already, running tasks are requeued at once. */
void ending_begin(ending *e, const ending_parts *parts);

#endif
