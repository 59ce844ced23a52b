/* A handler that stores what it has so far: asynqctl and inspectors show it while the task runs. */
#include <asynq/server.h>
#include <stdio.h>

int import_page(int page); /* 0: there are no more */

int handle_import(asynq_job *job, void *arg)
{
    char text[64];
    int pages = 0;
    (void)arg;
    while (import_page(pages) && !asynq_job_is_cancelled(job)) {
        int length = snprintf(text, sizeof text, "{\"pages\": %d}", ++pages);
        if (asynq_write_result(job, text, (size_t)length) != ASYNQ_OUTCOME_DONE || asynq_job_flush_result(job))
            return asynq_fail(job, "the result cannot be stored");
    }
    return ASYNQ_OUTCOME_DONE;
}
