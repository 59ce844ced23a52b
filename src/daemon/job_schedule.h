/*
 * The scheduler of PostgreSQL's jobs, as file_schedule.h is that of the schedule file. It lives as long as asynqd: a
 * job belongs to no generation, but its task gets the defaults of the current routes.
 *
 * Starting and ending it may wait for Redis. Thread: any, one at a time, and to end it not that of the loop.
 */
#ifndef DAEMON_JOB_SCHEDULE_H
#define DAEMON_JOB_SCHEDULE_H

#include "daemon/config.h"
#include "daemon/logger.h"
#include "handler/route_lookup.h"
#include "pg/jobs.h"

typedef struct job_schedule job_schedule;

/* All of it is borrowed. NULL with `error`. */
job_schedule *job_schedule_start(const config *c, logger *log, jobs *source, route_lookup *routes, asynq_error *error);
/* Nothing is enqueued any more. Accepts NULL. */
void job_schedule_shutdown(job_schedule *s);
/* The same, and frees it; before its jobs. Accepts NULL. */
void job_schedule_free(job_schedule *s);

#endif
