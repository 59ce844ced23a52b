/* What becomes of each attempt: a count on the loop, a call of a service in a thread that may block. */
#include <asynq/server.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_long failures;
void notify(const char *task_id, const char *error);

static void on_end(const asynq_attempt *attempt, void *arg)
{
    (void)arg;
    printf("%s after %lld ms\n", asynq_attempt_end_name(attempt->end),
           (long long)(attempt->ended_at_ms - attempt->started_at_ms));
    if (attempt->end == ASYNQ_ATTEMPT_RETRIED || attempt->end == ASYNQ_ATTEMPT_ARCHIVED)
        failures++;
}

static void report_error(const asynq_failure *failure, void *arg)
{
    (void)arg;
    notify(asynq_job_id(failure->job), failure->error);
}

static int64_t retry_delay_ms(const asynq_failure *failure, void *arg)
{
    (void)arg;
    return failure->code == 429 ? ASYNQ_MINUTES(5) : asynq_default_retry_delay_ms(failure->retry_count);
}

const asynq_server_options options = {.on_end = on_end, .report_error = report_error, .retry_delay_ms = retry_delay_ms};
