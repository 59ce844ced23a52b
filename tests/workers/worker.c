/* A worker that does what the tests ask for; the type says what. */
#include "asynq_worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int echo(asynq_worker_job *job, void *arg)
{
    (void)arg;
    return asynq_worker_result(job, job->payload, job->payload_length);
}

static int describe(asynq_worker_job *job, void *arg)
{
    (void)arg;
    char text[1024];
    const char *who = asynq_worker_header(job, "who");
    int length = snprintf(text, sizeof text, "%s %s %s %d %d %s", job->id, job->type, job->queue, (int)job->retried,
                          (int)job->max_retry, who ? who : "nobody");
    asynq_worker_log(job, "warn", "hello from a task");
    asynq_worker_progress(job, 0.5);
    return asynq_worker_result(job, text, (size_t)length);
}

static int nothing(asynq_worker_job *job, void *arg)
{
    (void)job, (void)arg;
    return ASYNQ_WORKER_DONE;
}

static int fail(asynq_worker_job *job, void *arg)
{
    job->retry_in_ms = atoi(job->payload);
    return asynq_worker_fail(job, *(const int *)arg, "no such %s", "thing");
}

/* Until it is cancelled. */
static int wait_for_end(asynq_worker_job *job, void *arg)
{
    (void)arg;
    for (int i = 0; i < 6000 && !asynq_worker_is_cancelled(job); i++)
        usleep(10000);
    FILE *out = fopen(job->payload, "w");
    if (out) {
        fputs("cancelled", out);
        fclose(out);
    }
    return ASYNQ_WORKER_DONE;
}

static int crash(asynq_worker_job *job, void *arg)
{
    (void)job, (void)arg;
    fputs("about to crash\n", stderr);
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    return ASYNQ_WORKER_DONE;
}

int main(void)
{
    static int retry = ASYNQ_WORKER_RETRY, permanent = ASYNQ_WORKER_PERMANENT, revoke = ASYNQ_WORKER_REVOKE,
               snooze = ASYNQ_WORKER_SNOOZE;
    static const asynq_worker_route routes[] = {
        {"c:echo", echo, NULL},      {"c:describe", describe, NULL},    {"c:nothing", nothing, NULL},
        {"c:fail", fail, &retry},    {"c:permanent", fail, &permanent}, {"c:revoke", fail, &revoke},
        {"c:snooze", fail, &snooze}, {"c:wait", wait_for_end, NULL},    {"c:crash", crash, NULL},
        {NULL, NULL, NULL},
    };
    return asynq_worker_run("test", routes);
}
