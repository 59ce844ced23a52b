/* See thread.h. */
#include "base/thread.h"

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
