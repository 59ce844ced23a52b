/*
 * The table `asynqd.jobs` as a source of entries for a scheduler. PostgreSQL tells of changes (LISTEN), so nothing is
 * asked for again and again; while it is away the jobs stay as they were last.
 *
 *   NOTIFY asynqd_jobs --> all jobs that are wanted are read --> the scheduler's provider --> entries "job:ID"
 *
 * A job for one task alone ("@once", "@at ...") is marked when its task is enqueued (done_jobs.h), and is then no
 * entry any more, so that it costs nothing how many there are.
 * What is wrong with a job is written to its column `invalid_reason`.
 */
#ifndef PG_JOBS_H
#define PG_JOBS_H

#include "pg/pg_conn.h"

#include <asynq/scheduler.h>

/* The header of a task that has the id of its job. */
#define PG_JOB_HEADER "asynq-job"

typedef struct jobs jobs;

/* `retention_ms` of jobs that are done; 0: for ever. NULL: there was no memory or descriptor for it. */
jobs *jobs_new(loop *l, log_sink *log, int64_t retention_ms);
/* Accepts NULL. After the scheduler. */
void jobs_free(jobs *j);

/* Puts itself in the scheduler's options: provider and post_enqueue. */
void jobs_set_options(jobs *j, asynq_scheduler_options *options);
/* The scheduler to tell of changes; NULL: none any more. Thread: any. */
void jobs_set_scheduler(jobs *j, asynq_scheduler *scheduler);

/*
 * The connection is ready, and has the tables; or is not any more (NULL). `other` is another one that is ready, or
 * NULL; see change_feed.h.
 */
void jobs_set_conns(jobs *j, pg_conn *conn, pg_conn *other);
/* NOTIFY came on this channel. */
void jobs_notified(jobs *j, const char *channel);

typedef struct jobs_stats {
    int64_t enabled, broken;
} jobs_stats;

/* Thread: any. */
void jobs_get_stats(jobs *j, jobs_stats *stats);

#endif
