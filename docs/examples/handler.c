/* A handler that uses what a job offers. */
#include <asynq/server.h>
#include <stdio.h>
#include <string.h>

int resize(asynq_job *job, void *arg)
{
    const char *directory = arg;
    size_t length;
    const char *file = asynq_job_payload(job, &length);
    const char *size = asynq_job_header(job, "size");
    if (length == 0)
        return asynq_skip_retry(job, "task %s of %s has no file", asynq_job_id(job), asynq_job_type(job));
    if (strstr(file, ".."))
        return asynq_revoke(job, "%s is outside of %s", file, directory);
    for (int part = 0; part < 10; part++) {
        if (asynq_job_is_cancelled(job))
            return asynq_fail(job, "stopped: %d", asynq_job_cancel_reason(job)); /* ignored, as it has ended */
        asynq_job_progress(job, part / 10.0, size);
    }
    char result[100];
    int written = snprintf(result, sizeof result, "attempt %d of %d, from queue %s", asynq_job_retry_count(job) + 1,
                           asynq_job_max_retry(job) + 1, asynq_job_queue(job));
    return asynq_write_result(job, result, (size_t)written);
}
