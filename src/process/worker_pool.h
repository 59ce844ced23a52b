/*
 * A pool of worker processes: children that are started before there is work, and get one task after the other.
 *
 *   waiting calls --> which process (worker_pool.c) --> one child, its frames and its end (worker_process.h)
 *
 * A pool takes as many tasks as its processes have places for, and a few ahead; the others stay in their queues, see
 * admission.h. A process that crashes takes only its own tasks with it. A program that cannot be started costs no task
 * an attempt: they stay pending while the pool tries again, ever more slowly.
 *
 * A pool owns its processes, and borrows its options and the calls. Thread: that of the daemon's loop.
 */
#ifndef PROCESS_WORKER_POOL_H
#define PROCESS_WORKER_POOL_H

#include "process/worker_process.h"

typedef struct worker_pool worker_pool;

/* Has no processes yet. NULL: out of memory. */
worker_pool *worker_pool_new(handler_host *host, const worker_options *options);
void worker_pool_start(worker_pool *pool);
/* Ends all processes; `done` is called when they are gone, perhaps at once. No calls may be under way. */
void worker_pool_stop(worker_pool *pool, void (*done)(void *arg), void *arg);
/* Accepts NULL. */
void worker_pool_free(worker_pool *pool);

/* Takes over a call; handler_worker.cancel() takes it back. */
void worker_pool_begin(worker_pool *pool, handler_call *call);
/* The call is over for the pool, or for the process that has it; its caller ends it. */
void worker_pool_cancel(handler_call *call);
/* What its tasks take up. */
asynq_capacity *worker_pool_capacity(const worker_pool *pool);

/* Has its processes replaced, one after the other; see worker_pools_refresh(). Not while it stops. */
void worker_pool_renew(worker_pool *pool);
/* The same, if its program has another stamp than it had. */
void worker_pool_refresh(worker_pool *pool, uint64_t stamp);

/* For metrics. */
typedef struct worker_pool_state {
    const char *name;
    size_t size; /* as it is configured */
    size_t processes, ready, running, waiting;
    uint64_t started, crashed;
    double cpu_s;           /* of all its processes, as far as somebody has noted it in them */
    int64_t resident_bytes; /* of those that run */
} worker_pool_state;
worker_pool_state worker_pool_get_state(const worker_pool *pool);
/* Visits all processes, and returns how many there are; `visit` may be NULL. */
size_t worker_pool_each(worker_pool *pool, void (*visit)(worker_process *process, void *arg), void *arg);

#endif
