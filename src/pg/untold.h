/*
 * Ends that nobody told: attempts in the history with the outcome "unknown" get the one that Redis has, as far as it
 * does (untold_end.h). One asynqd of those that are there does it, every 10 s, some rows at a time.
 *
 *   rows of PostgreSQL --an errand asks Redis for their tasks--> rows with their end
 *
 * Thread: that of the loop.
 */
#ifndef PG_UNTOLD_H
#define PG_UNTOLD_H

#include "pg/pg_conn.h"

typedef struct untold untold;

typedef struct untold_options {
    loop *loop;
    log_sink *log;
    const char *worker;         /* the name of this asynqd */
    const char *redis, *prefix; /* as for asynq_inspector_options; borrowed */
} untold_options;

/* NULL: out of memory. */
untold *untold_new(const untold_options *options);
/* Waits for Redis's answer, if it is being asked, for up to 2 s. After the connection. Accepts NULL. */
void untold_free(untold *e);

/* The connection is ready, and has the tables; or is not any more (NULL). */
void untold_set_conn(untold *e, pg_conn *conn);

#endif
