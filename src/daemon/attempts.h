/* What is known of each attempt, from its start to its end: a line in the log, a row of the history, and what is
 * counted. */
#ifndef DAEMON_ATTEMPTS_H
#define DAEMON_ATTEMPTS_H

#include "daemon/logger.h"
#include "metrics/metric.h"
#include "pg/history.h"

#include <asynq/server.h>
#include <stdbool.h>

typedef struct attempts {
    logger *log;
    metrics *meters;
    const asynq_mux *mux; /* knows the route of a type */
    _Atomic bool is_logged;
    history *history; /* NULL: none */
} attempts;

/*
 * Makes the counters of a queue and a route, with 0: Prometheus takes the first value of a counter for its beginning,
 * so that one which begins with 1 has not grown.
 */
void attempts_begin_counters(metrics *meters, const char *queue, const char *pattern);
/* Forgets those of queues and routes that are gone; the labels begin with these two. */
void attempts_end_counters(metrics *meters, bool (*is_gone)(const char *const *labels, void *arg), void *arg);
/* The route of tasks that no route takes. */
#define ATTEMPTS_NO_ROUTE "none"

/* on_start and on_end of the server's options; the argument is an attempts. Thread: the server's loop. */
void attempt_started(asynq_job *job, void *attempts);
void attempt_ended(const asynq_attempt *attempt, void *attempts);

#endif
