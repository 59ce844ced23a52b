/*
 * The worker threads. They are started when first needed, up to a maximum, and run handlers of kind thread.
 *
 * A job is taken over only if there is a thread for it, so it begins at once and its time limit runs while its handler
 * does. One that is given up all the same before a thread has come to it (see job_withdraw()) never begins.
 *
 * A handler that never returns keeps its thread. Shutting down does not wait for it: the pool is counted and frees
 * itself when the last such thread ends.
 */
#ifndef SERVER_POOL_H
#define SERVER_POOL_H

#include "server/job.h"
#include "server/mux.h"

typedef struct job_pool job_pool;

/* `owned_mux` (may be NULL) is freed together with the pool. NULL: out of memory. */
job_pool *job_pool_new(int max_threads, const asynq_mux *mux, asynq_mux *owned_mux);
/* Threads that there are stay. */
void job_pool_resize(job_pool *pool, int max_threads);

/*
 * Collects a job for a thread; takes over one reference. Returns 0, or ASYNQ_E_SYSTEM if all threads are taken and no
 * other can be started. job_pool_flush() then hands all that were collected to the threads at once, so that a batch
 * takes the lock once and wakes only as many threads as it needs. Thread: loop, both.
 */
ASYNQ_MUST_CHECK int job_pool_run(job_pool *pool, asynq_job *job);
void job_pool_flush(job_pool *pool);

/* The threads that there are. Thread: loop. */
int job_pool_threads(const job_pool *pool);
/* The same after an attempt to start all up to the maximum. */
int job_pool_fill(job_pool *pool);

/* Ends idle threads and waits for them; busy ones end on their own. Gives up the caller's reference. */
void job_pool_shutdown(job_pool *pool);

#endif
