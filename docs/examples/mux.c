/* Routes that are built by calls, with middleware around them. */
#include <asynq/server.h>
#include <stdio.h>

int welcome(asynq_job *job, void *arg);
int any_email(asynq_job *job, void *arg);

static int log_failures(asynq_job *job, asynq_next *next, void *arg)
{
    (void)arg;
    int outcome = asynq_next_run(next, job);
    if (outcome == ASYNQ_OUTCOME_FAILED)
        printf("%s: %s\n", asynq_job_id(job), asynq_job_error(job));
    return outcome;
}

static int not_found(asynq_job *job, void *arg)
{
    (void)arg;
    return asynq_skip_retry(job, "no handler for %s", asynq_job_type(job));
}

asynq_mux *make_routes(asynq_mux *inner, asynq_error *error)
{
    asynq_mux *mux = asynq_mux_new();
    if (!mux)
        return NULL;
    asynq_mux_set_not_found(mux, not_found, NULL);
    if (asynq_mux_use(mux, log_failures, NULL, error) ||
        asynq_mux_handle(mux, &(asynq_route){.pattern = "email:", .handler = any_email}, error) ||
        asynq_mux_handle(mux, &(asynq_route){.pattern = "email:welcome", .handler = welcome}, error) ||
        asynq_mux_handle(mux, &(asynq_route){.pattern = "image:", .handler = asynq_mux_dispatch, .arg = inner},
                         error)) {
        asynq_mux_free(mux);
        return NULL;
    }
    asynq_handler handler;
    printf("%s\n", asynq_mux_find(mux, "email:welcome", &handler, NULL)); /* email:welcome */
    printf("%s\n", asynq_mux_match(mux, "email:bye"));                    /* email: */
    return mux;
}
