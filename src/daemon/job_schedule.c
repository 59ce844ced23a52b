/* See job_schedule.h. */
#include "daemon/job_schedule.h"

#include "base/alloc.h"
#include "base/error.h"

#include <asynq/scheduler.h>

enum { JOBS_WITHIN_MS = 1000 };

struct job_schedule {
    log_source log;
    jobs *source;
    asynq_scheduler *scheduler;
};

static int job_schedule_begin(job_schedule *s, const config *c, route_lookup *routes, asynq_error *error)
{
    asynq_scheduler_options options = {.redis = c->redis_uri,
                                       .prefix = c->prefix,
                                       .zone = c->schedule.zone,
                                       .log = logger_line,
                                       .log_arg = &s->log,
                                       .log_level = ASYNQ_LOG_DEBUG, /* the logger knows the level */
                                       .shutdown_timeout_ms = JOBS_WITHIN_MS,
                                       .defaults = route_lookup_fill,
                                       .defaults_arg = routes};
    jobs_set_options(s->source, &options);
    s->scheduler = asynq_scheduler_new(&options, error);
    int status = s->scheduler ? asynq_scheduler_start(s->scheduler, error) : error->code;
    if (!status)
        jobs_set_scheduler(s->source, s->scheduler);
    return status;
}

job_schedule *job_schedule_start(const config *c, logger *log, jobs *source, route_lookup *routes, asynq_error *error)
{
    job_schedule *s = mem_calloc(1, sizeof *s);
    if (!s)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    s->log = (log_source){log, "jobs"};
    s->source = source;
    if (!job_schedule_begin(s, c, routes, error))
        return s;
    job_schedule_free(s);
    return NULL;
}

void job_schedule_shutdown(job_schedule *s)
{
    if (!s || !s->scheduler)
        return;
    jobs_set_scheduler(s->source, NULL);
    asynq_scheduler_shutdown(s->scheduler);
}

void job_schedule_free(job_schedule *s)
{
    if (!s)
        return;
    job_schedule_shutdown(s);
    asynq_scheduler_free(s->scheduler);
    mem_free(s);
}
