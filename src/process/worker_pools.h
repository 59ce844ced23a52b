/* All pools of worker processes of a configuration, by their names. Thread: that of the daemon's loop. */
#ifndef PROCESS_WORKER_POOLS_H
#define PROCESS_WORKER_POOLS_H

#include "process/worker_pool.h"

typedef struct worker_pools worker_pools;

/* Borrows `list`, and starts the processes. NULL: out of memory. */
worker_pools *worker_pools_new(handler_host *host, const worker_list *list);
/*
 * Replaces the processes of each pool whose program is not what it was, one after the other: a new one is ready before
 * an old one takes no more tasks, and that one ends when it has ended those that it has. `list` is of the same pools.
 */
void worker_pools_refresh(worker_pools *pools, const worker_list *list);
/* The same for one pool, whether or not its program has changed. False: there is none of this name. */
bool worker_pools_restart(worker_pools *pools, const char *name);
/* Ends all processes; `done` is called when they are gone. No calls may be under way. */
void worker_pools_stop(worker_pools *pools, void (*done)(void *arg), void *arg);
/* Accepts NULL. */
void worker_pools_free(worker_pools *pools);

/* Hands a call to a pool, for handlers that end there; handler_worker.cancel() takes it back. */
void worker_pools_begin(handler_call *call, const char *pool);
/* What the tasks of a pool take up. NULL: there is no such pool. */
asynq_capacity *worker_pools_capacity(const handler_host *host, const char *name);

/* For metrics. */
size_t worker_pools_count(const worker_pools *pools);
worker_pool_state worker_pools_state(const worker_pools *pools, size_t index);
/* Visits all processes, and returns how many there are; `visit` may be NULL. */
size_t worker_pools_each(worker_pools *pools, void (*visit)(worker_process *process, void *arg), void *arg);

#endif
