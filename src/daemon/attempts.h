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

/* on_start and on_end of the server's options; the argument is an attempts. Thread: the server's loop. */
void attempt_started(asynq_job *job, void *attempts);
void attempt_ended(const asynq_attempt *attempt, void *attempts);

#endif
