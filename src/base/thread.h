/* Threads of the library's own, and waiting by the steady clock. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <asynq/error.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* Starts a thread that gets no signals: those of the host stay with its own threads. Returns 0 or ASYNQ_E_SYSTEM. */
ASYNQ_MUST_CHECK int thread_start(pthread_t *thread, void *(*run)(void *), void *arg, asynq_error *error);

/* A condition whose timed waits are measured by the steady clock. */
void thread_cond_init(pthread_cond_t *cond);
/* The end of a wait on such a condition. */
struct timespec thread_wait_end(int64_t timeout_ms);

#endif
