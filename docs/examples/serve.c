/* A worker: a whole program. */
#include <asynq/asynq.h>
#include <stdio.h>

static int send_email(asynq_job *job, void *arg)
{
    (void)arg;
    printf("%s\n", (const char *)asynq_job_payload(job, NULL));
    return ASYNQ_OUTCOME_DONE;
}

static const asynq_route routes[] = {
    {.pattern = "email:", /* and all types that begin with it */
     .handler = send_email,
     .retry = {ASYNQ_RETRY_EXPONENTIAL, .delay_ms = ASYNQ_SECONDS(2), .jitter_percent = 20},
     .limit = {.scope = "smtp", .max = 20}},
    {0},
};

int main(void)
{
    static const asynq_queue queues[] = {{"critical", 6}, {"default", 3}, {"tenant:*", 1}, {0}};
    return asynq_serve(&(asynq_server_options){.concurrency = 32, .queues = queues, .routes = routes});
}
