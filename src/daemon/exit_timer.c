/* See exit_timer.h. */
#include "daemon/exit_timer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"

#include <unistd.h>

enum { LOG_WAIT_MS = 500 }; /* for the log's own thread */

struct exit_timer {
    log_sink *log;
    int64_t timeout_ms;
    int status;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool is_stopped; /* under the lock */
};

/* True: it was stopped before. */
static bool exit_timer_wait(exit_timer *timer, int64_t timeout_ms)
{
    struct timespec until = thread_wait_end(timeout_ms);
    int problem = 0;
    pthread_mutex_lock(&timer->lock);
    while (!timer->is_stopped && !problem)
        problem = pthread_cond_timedwait(&timer->stopped, &timer->lock, &until);
    bool is_stopped = timer->is_stopped;
    pthread_mutex_unlock(&timer->lock);
    return is_stopped;
}

static void *exit_timer_run(void *arg)
{
    exit_timer *timer = arg;
    if (exit_timer_wait(timer, timer->timeout_ms))
        return NULL;
    log_event(timer->log, LOG_THREAD_LEFT,
              "a file or the network still holds a thread after %.3g s; exiting without it",
              (double)timer->timeout_ms / MS_PER_SECOND);
    if (!exit_timer_wait(timer, LOG_WAIT_MS))
        _exit(timer->status);
    return NULL;
}

static void exit_timer_free(exit_timer *timer)
{
    pthread_mutex_destroy(&timer->lock);
    pthread_cond_destroy(&timer->stopped);
    mem_free(timer);
}

exit_timer *exit_timer_start(log_sink *log, int64_t timeout_ms, int status)
{
    asynq_error error;
    exit_timer *timer = mem_calloc(1, sizeof *timer);
    if (!timer)
        return NULL;
    timer->log = log;
    timer->timeout_ms = timeout_ms;
    timer->status = status;
    pthread_mutex_init(&timer->lock, NULL);
    thread_cond_init(&timer->stopped);
    if (!thread_start(&timer->thread, exit_timer_run, timer, &error))
        return timer;
    exit_timer_free(timer);
    return NULL;
}

void exit_timer_stop(exit_timer *timer)
{
    if (!timer)
        return;
    pthread_mutex_lock(&timer->lock);
    timer->is_stopped = true;
    pthread_cond_signal(&timer->stopped);
    pthread_mutex_unlock(&timer->lock);
    pthread_join(timer->thread, NULL);
    exit_timer_free(timer);
}
