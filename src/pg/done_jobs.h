/*
 * What is done of the table of jobs: jobs for one task alone are marked when their task is with Redis, and go when that
 * is longer ago than the retention.
 *
 *   done_jobs_add(), any thread --waiting--> one statement at a time --> jobs.enqueued_at
 *
 * Thread: that of the loop, except where another is named.
 */
#ifndef PG_DONE_JOBS_H
#define PG_DONE_JOBS_H

#include "pg/pg_conn.h"

typedef struct done_jobs done_jobs;

/* `retention_ms` of jobs that are done; 0: for ever. NULL: there was no memory or descriptor for it. */
done_jobs *done_jobs_new(loop *l, log_sink *log, int64_t retention_ms);
/* Accepts NULL. */
void done_jobs_free(done_jobs *d);

/* The connection is ready, and has the tables; or is not any more (NULL). */
void done_jobs_set_conn(done_jobs *d, pg_conn *conn);

/* The task of this job at `spec`, its moment, has been enqueued. Thread: any. */
void done_jobs_add(done_jobs *d, const char *id, const char *spec);

#endif
