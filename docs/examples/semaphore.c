/* A handler that uses one of three printers; which tasks need one is known to the handler only. */
#include <asynq/asynq.h>

int print_page(asynq_job *job);

asynq_semaphore *open_printers(asynq_error *error)
{
    return asynq_semaphore_new(&(asynq_semaphore_options){.scope = "printers", .tokens = 3}, error);
}

int print(asynq_job *job, void *arg)
{
    asynq_semaphore *printers = arg;
    asynq_error error;
    bool has_token;
    if (asynq_semaphore_acquire(printers, asynq_job_id(job), asynq_job_deadline_ms(job), &has_token, &error))
        return asynq_fail(job, "%s", error.text);
    if (!has_token)
        return asynq_snooze(job, ASYNQ_SECONDS(5), "all printers are busy");
    int outcome = print_page(job);
    asynq_semaphore_release(printers, asynq_job_id(job), NULL); /* if it fails: free at the deadline */
    return outcome;
}

void close_printers(asynq_semaphore *printers)
{
    asynq_semaphore_free(printers);
}
