/* What asynqd counts; the rows of the table and their numbers. */
#ifndef DAEMON_METERS_H
#define DAEMON_METERS_H

#include "metrics/metric.h"

typedef enum meter {
    METER_ATTEMPTS,
    METER_FAILURES,
    METER_WAIT,
    METER_RUN,
    METER_RUNNING,
    METER_CONCURRENCY,
    METER_REDIS_UP,
    METER_REDIS_COMMANDS,
    METER_LEASES_LOST,
    METER_WORKERS,
    METER_WORKERS_WAITING,
    METER_WORKERS_STARTED,
    METER_WORKERS_CRASHED,
    METER_HTTP_CALLS,
    METER_ENQUEUED,
    METER_POSTGRES_UP,
    METER_HISTORY_WRITTEN,
    METER_HISTORY_LOST,
    METER_SPOOL_BYTES,
    METER_SPOOL_ROWS,
    METER_JOBS,
    METER_LOOP_TURN,
    METER_LOG_DROPPED,
    METER_INFO,
    METER_COUNT
} meter;

/* For families without labels. */
#define NO_LABELS ((const char *const[METRIC_MOST_LABELS]){0})

extern const metric_family meter_table[METER_COUNT];

#endif
