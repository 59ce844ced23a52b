/*
 * Worker processes of asynqd in C, for programs that shall not run in asynqd itself.
 *
 *     static int score(asynq_worker_job *job, void *arg)
 *     {
 *         if (job->payload_length == 0)
 *             return asynq_worker_fail(job, ASYNQ_WORKER_PERMANENT, "nothing to score");
 *         return asynq_worker_result(job, "42", 2);
 *     }
 *
 *     int main(void)
 *     {
 *         static const asynq_worker_route routes[] = {{"eval:run", score, NULL}, {NULL, NULL, NULL}};
 *         return asynq_worker_run("scorer", routes);
 *     }
 *
 *     cc scorer.c asynq_worker.c $(pkg-config --cflags --libs msgpack)
 *
 * asynqd starts the program (workers: in its configuration) and hands it one task after the other. The protocol is told
 * in docs/worker-protocol.md. Nothing here is for several threads.
 */
#ifndef ASYNQ_WORKER_H
#define ASYNQ_WORKER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum asynq_worker_outcome {
    ASYNQ_WORKER_DONE,
    ASYNQ_WORKER_RETRY,     /* failed: tried again */
    ASYNQ_WORKER_PERMANENT, /* failed for good: archived */
    ASYNQ_WORKER_REVOKE,    /* dropped */
    ASYNQ_WORKER_SNOOZE     /* not failed: tried again later */
} asynq_worker_outcome;

/* An attempt at a task. Everything belongs to the library and lasts until the function returns. */
typedef struct asynq_worker_job {
    const char *id, *type, *queue;
    const void *payload; /* followed by a NUL byte */
    size_t payload_length;
    int64_t retried, max_retry, deadline_ms; /* deadline: Unix ms */
    int64_t retry_in_ms;                     /* set it, with RETRY or SNOOZE: when; 0: by asynqd's rules */
    struct asynq_worker_state *state;
} asynq_worker_job;

/* Returns an asynq_worker_outcome. */
typedef int (*asynq_worker_function)(asynq_worker_job *job, void *arg);

/* Tasks whose type equals the pattern, or else begins with it; the longest pattern wins. Ends with an empty row. */
typedef struct asynq_worker_route {
    const char *pattern;
    asynq_worker_function function;
    void *arg;
} asynq_worker_route;

/* The value of a header of the task; NULL: it has none. */
const char *asynq_worker_header(const asynq_worker_job *job, const char *key);

/* Sets the result (copied) and returns ASYNQ_WORKER_DONE. */
int asynq_worker_result(asynq_worker_job *job, const void *data, size_t length);
/* Sets the text of a failure and returns the outcome. */
int asynq_worker_fail(asynq_worker_job *job, int outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A sign of life, with how far it is: 0 to 1, or below 0 for not said. Returns 0, or -1 if asynqd is gone. */
int asynq_worker_progress(asynq_worker_job *job, double fraction);
/* A line in asynqd's log; level is "debug", "info", "warn" or "error". Returns as above. */
int asynq_worker_log(asynq_worker_job *job, const char *level, const char *text);
/* 1: asynqd does not want the task any more (it was cancelled or is out of time); else 0. Does not wait. */
int asynq_worker_is_cancelled(asynq_worker_job *job);

/* Works until asynqd says that it is enough. Returns the exit status of the program. */
int asynq_worker_run(const char *name, const asynq_worker_route *routes);

#ifdef __cplusplus
}
#endif

#endif
