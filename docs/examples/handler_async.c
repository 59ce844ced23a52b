/* A handler that starts work elsewhere and returns; the work ends the job from another thread. */
#include <asynq/server.h>

struct work;
struct work *work_make(asynq_job *job);
void work_begin(struct work *work); /* calls work_ended() from any thread */
void work_abort(struct work *work);
void work_free(struct work *work);

static void cancelled(asynq_job *job, void *work)
{
    (void)job;
    work_abort(work); /* short, and calls nothing of the library */
}

int handle(asynq_job *job, void *arg) /* of a route with .kind = ASYNQ_HANDLER_ASYNC, .starts_later = true */
{
    (void)arg;
    struct work *work = work_make(job);
    if (!work)
        return asynq_fail(job, "out of memory");
    if (!asynq_job_start(job)) {
        work_free(work);
        return ASYNQ_OUTCOME_REQUEUED; /* it was taken back; what is returned is ignored */
    }
    asynq_job_set_data(job, work);
    asynq_job_on_cancel(job, cancelled, work);
    work_begin(work);
    return ASYNQ_OUTCOME_DEFERRED;
}

void work_ended(asynq_job *job, const char *failure)
{
    struct work *work = asynq_job_data(job);
    asynq_job_on_cancel(job, NULL, NULL);
    asynq_complete(job, failure ? asynq_fail(job, "%s", failure) : ASYNQ_OUTCOME_DONE);
    work_free(work);
}
