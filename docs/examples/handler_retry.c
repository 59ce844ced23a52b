/* A handler that decides when its task is tried again. */
#include <asynq/server.h>

struct reply {
    int status;
    int64_t retry_after_ms;
};
struct reply request(const char *url, int64_t deadline_ms);

int call_service(asynq_job *job, void *arg)
{
    (void)arg;
    size_t length;
    struct reply reply = request(asynq_job_payload(job, &length), asynq_job_deadline_ms(job));
    asynq_job_set_code(job, reply.status); /* for on_error and metrics */
    switch (reply.status) {
    case 200:
        return ASYNQ_OUTCOME_DONE;
    case 202:
        return asynq_snooze(job, ASYNQ_SECONDS(30), "not ready"); /* no failure */
    case 429:
        return asynq_retry_in(job, reply.retry_after_ms, "too many requests");
    case 503:
        return asynq_retry_after(job, ASYNQ_MINUTES(1), "down for a while");
    default:
        return asynq_fail(job, "status %d", asynq_job_code(job));
    }
}
