/* Threads of the library's own. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <asynq/error.h>
#include <pthread.h>

/* Starts a thread that gets no signals: those of the host stay with its own threads. Returns 0 or ASYNQ_E_SYSTEM. */
ASYNQ_MUST_CHECK int thread_start(pthread_t *thread, void *(*run)(void *), void *arg, asynq_error *error);

#endif
