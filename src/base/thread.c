/* See thread.h. */
#include "base/thread.h"

#include "base/clock.h"
#include "base/error.h"

#include <signal.h>
#include <string.h>

int thread_start(pthread_t *thread, void *(*run)(void *), void *arg, asynq_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int problem = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return problem ? error_set(error, ASYNQ_E_SYSTEM, "cannot start a thread: %s", strerror(problem)) : ASYNQ_OK;
}

void thread_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &steady);
    pthread_condattr_destroy(&steady);
}

struct timespec thread_wait_end(int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms <= 0)
        return until;
    int64_t end_ns = until.tv_nsec + timeout_ms % MS_PER_SECOND * NS_PER_MS;
    until.tv_sec += timeout_ms / MS_PER_SECOND + end_ns / NS_PER_SECOND;
    until.tv_nsec = end_ns % NS_PER_SECOND;
    return until;
}
