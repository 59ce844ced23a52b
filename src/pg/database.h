/*
 * What asynqd does with PostgreSQL, in a thread of its own, so that tasks never wait for it: the history of attempts
 * and the table of jobs.
 *
 *   connected --> version of the tables --> history and jobs begin; "seen" every 10 s
 *
 * Thread: any, except where another is named.
 */
#ifndef PG_DATABASE_H
#define PG_DATABASE_H

#include "pg/history.h"
#include "pg/jobs.h"

typedef struct database database;

typedef struct database_options {
    log_sink *log;
    const char *conninfo, *password, *schema; /* see pg_conn_options */
    const char *spool;                        /* folder of the spools */
    const char *redis, *prefix;               /* as for asynq_inspector_options */
    int64_t spool_max, retention_ms, jobs_retention_ms;
    bool has_history, has_jobs;
} database_options;

/* Starts the thread; PostgreSQL need not be reachable. What the options point to is borrowed. NULL: see `error`. */
database *database_start(const database_options *options, asynq_error *error);

/* NULL: not wanted. */
history *database_history(const database *d);
jobs *database_jobs(const database *d);

typedef struct database_state {
    bool is_ready;       /* connected, and the tables are as they must be */
    const char *problem; /* why it is not; static */
} database_state;

database_state database_get_state(const database *d);

/* Writes the history that there is, for up to `within_ms`, and ends the thread. After server and scheduler. */
void database_stop(database *d, int64_t within_ms);
/* Stops if need be. Accepts NULL. */
void database_free(database *d);

#endif
