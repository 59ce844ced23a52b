/*
 * Which counters of attempts there are: those of a configuration's queues and routes are made with 0, and forgotten
 * when no generation has the two any more. There may be millions of pairs, so a thread does it. Thread: the loop's.
 */
#ifndef DAEMON_COUNTERS_H
#define DAEMON_COUNTERS_H

#include "daemon/config.h"
#include "event/loop.h"
#include "metrics/metric.h"

typedef struct counters counters;

/* NULL with `error`. */
counters *counters_new(loop *l, metrics *meters, asynq_error *error);
/* Accepts NULL. */
void counters_free(counters *c);

/*
 * Makes those of a configuration: Prometheus takes the first value of a counter for its beginning, so that one which
 * begins with 1 has not grown. Where they would take more than half of the room that there is for counters, they begin
 * with the first attempt.
 */
void counters_begin(counters *c, config *begun);
/* Forgets those of which no live configuration has the queue, or none the route. Copies what it needs. */
void counters_sweep(counters *c, config *const *live, size_t count);

/* The route of tasks that no route takes. */
#define COUNTERS_NO_ROUTE "none"

#endif
