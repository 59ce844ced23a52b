/* See pool.h. */
#include "server/pool.h"

#include "base/alloc.h"
#include "base/thread.h"
#include "server/job_port.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

/* Time for busy threads to become idle once the pool is told to end: they were asked to return long before. */
enum { POOL_LAST_WAIT_MS = 100 };

struct job_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* a job was queued, or the pool ends */
    pthread_cond_t ended; /* a thread ended */
    int refs;             /* the server's, and one per thread; under the lock */
    int threads, idle;
    bool waking; /* a thread was woken and has not taken its job yet */
    bool ending;
    asynq_job *first, **end;

    _Atomic int engaged; /* jobs that were taken over and whose handlers have not returned */

    /* The loop's, without the lock. */
    asynq_job *new_first, **new_end; /* handed over by job_pool_flush() */
    int started, max_threads;        /* threads end only with the pool */

    const asynq_mux *mux;
    asynq_mux *owned_mux;
};

job_pool *job_pool_new(int max_threads, const asynq_mux *mux, asynq_mux *owned_mux)
{
    job_pool *pool = mem_calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    thread_cond_init(&pool->ended);
    pool->refs = 1;
    pool->max_threads = max_threads;
    pool->mux = mux;
    pool->owned_mux = owned_mux;
    pool->end = &pool->first;
    pool->new_end = &pool->new_first;
    return pool;
}

void job_pool_resize(job_pool *pool, int max_threads)
{
    pool->max_threads = max_threads;
}

/* Under the lock, which is released. */
static void pool_unref_and_unlock(job_pool *pool)
{
    bool last = --pool->refs == 0;
    pthread_mutex_unlock(&pool->lock);
    if (!last)
        return;
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    asynq_mux_free(pool->owned_mux);
    mem_free(pool);
}

/*
 * Wakes one thread, unless one is on its way already: that one will wake the next when it finds more to do. So threads
 * that are busy with short jobs go on with the queue, and no others are woken in vain; with long jobs the threads wake
 * one another.
 */
static void pool_wake(job_pool *pool)
{
    if (pool->waking || !pool->idle || !pool->first)
        return;
    pool->waking = true;
    pthread_cond_signal(&pool->work);
}

/* Under the lock. NULL: the pool ends. */
static asynq_job *pool_take(job_pool *pool)
{
    while (!pool->first && !pool->ending) {
        pool->idle++;
        pthread_cond_wait(&pool->work, &pool->lock);
        pool->idle--;
        pool->waking = false;
    }
    asynq_job *job = pool->first;
    if (job) {
        pool->first = job->port_next;
        if (!pool->first)
            pool->end = &pool->first;
        pool_wake(pool);
    }
    return job;
}

/* What was given up while it waited for the thread does not begin; nobody looks at its outcome. */
static void pool_run(job_pool *pool, asynq_job *job)
{
    int outcome = job_begin(job) ? mux_run(pool->mux, job->route, job) : ASYNQ_OUTCOME_FAILED;
    pool->engaged--;                       /* before the job is back: then the loop may count on this thread */
    if (outcome != ASYNQ_OUTCOME_DEFERRED) /* else asynq_complete() hands it back, perhaps it already did */
        job_hand_back(job, outcome);
}

static void *pool_thread(void *arg)
{
    job_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (asynq_job *job = pool_take(pool); job; job = pool_take(pool)) {
        pthread_mutex_unlock(&pool->lock);
        pool_run(pool, job);
        pthread_mutex_lock(&pool->lock);
    }
    pool->threads--;
    pthread_cond_broadcast(&pool->ended);
    pool_unref_and_unlock(pool);
    return NULL;
}

static bool pool_add_thread(job_pool *pool)
{
    pthread_t thread;
    pthread_mutex_lock(&pool->lock);
    bool is_started = thread_start(&thread, pool_thread, pool, NULL) == ASYNQ_OK;
    if (is_started) {
        pthread_detach(thread);
        pool->started++;
        pool->threads++;
        pool->refs++;
    }
    pthread_mutex_unlock(&pool->lock);
    return is_started;
}

int job_pool_run(job_pool *pool, asynq_job *job)
{
    /* At the maximum a thread is about to be free: that of a job which has ended before its handler returned. */
    bool needs_thread = pool->engaged >= pool->started && (pool->started < pool->max_threads || !pool->started);
    if (needs_thread && !pool_add_thread(pool))
        return ASYNQ_E_SYSTEM;
    pool->engaged++;
    job->port_next = NULL;
    *pool->new_end = job;
    pool->new_end = &job->port_next;
    return ASYNQ_OK;
}

int job_pool_fill(job_pool *pool)
{
    while (pool->started < pool->max_threads && pool_add_thread(pool))
        continue;
    return pool->started;
}

int job_pool_threads(const job_pool *pool)
{
    return pool->started;
}

void job_pool_flush(job_pool *pool)
{
    if (!pool->new_first)
        return;
    pthread_mutex_lock(&pool->lock);
    *pool->end = pool->new_first;
    pool->end = pool->new_end;
    pool_wake(pool);
    pthread_mutex_unlock(&pool->lock);
    pool->new_first = NULL;
    pool->new_end = &pool->new_first;
}

void job_pool_shutdown(job_pool *pool)
{
    if (!pool)
        return;
    job_pool_flush(pool);
    struct timespec until = thread_wait_end(POOL_LAST_WAIT_MS);
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    while (pool->threads && pthread_cond_timedwait(&pool->ended, &pool->lock, &until) != ETIMEDOUT)
        continue;
    pool_unref_and_unlock(pool);
}
