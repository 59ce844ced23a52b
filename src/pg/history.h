/*
 * The history of attempts: from the server's hooks through a spool on disk into the table `asynqd.executions`.
 *
 *   history_begin(), history_end()  any thread, one short write each
 *          |  spool
 *   the writer, on the loop of the connection: up to 1,000 lines in one statement, again until PostgreSQL has them
 *
 * A line tells all that is known of an attempt, so a row is the same in whatever order and however often its lines
 * arrive. An attempt whose process died has a row without an end, to which the next asynqd in the same folder gives the
 * outcome "unknown"; if the folder is gone too, any other asynqd does so a minute later. It may have ended, and Redis
 * may know how: only the line about it was not written any more. Then untold.h completes the row.
 */
#ifndef PG_HISTORY_H
#define PG_HISTORY_H

#include "base/bytes.h"
#include "pg/execution.h"
#include "pg/pg_conn.h"
#include "pg/spool.h"

typedef struct history history;

typedef struct history_options {
    loop *loop;
    log_sink *log;
    const char *spool;    /* folder */
    const char *worker;   /* the name of this asynqd in the rows */
    int64_t spool_max;    /* bytes */
    int64_t retention_ms; /* of rows; 0: for ever */
} history_options;

/* Opens the spool, and adopts those of dead ones. NULL: see `error`. */
history *history_new(const history_options *options, asynq_error *error);
/* What has not been written stays in the spool. Accepts NULL. */
void history_free(history *h);

/* Thread: any. */
void history_record(history *h, const execution *row);

/* The connection is ready, and has the tables; or is not any more (NULL). */
void history_set_conn(history *h, pg_conn *conn);

/* Writes what there is, then calls `done`; also when there is no connection. */
void history_finish(history *h, void (*done)(void *arg), void *arg);

typedef struct history_stats {
    spool_stats spool;
    int64_t written; /* lines that PostgreSQL has taken */
    int64_t refused; /* lines that it never will */
} history_stats;

/* Thread: any. */
void history_get_stats(history *h, history_stats *stats);

#endif
