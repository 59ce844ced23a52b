/* A plug-in that does what the tests ask for; the type says what. WRONG_... make it unfit. */
#include <asynq/asynq.h>
#include <asynq/plugin.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char configured[256];

static int echo(asynq_job *job, void *arg)
{
    (void)arg;
    size_t length;
    const void *payload = asynq_job_payload(job, &length);
    return asynq_write_result(job, payload, length);
}

static int describe(asynq_job *job, void *arg)
{
    char text[1024];
    const char *who = asynq_job_header(job, "who");
    int length = snprintf(text, sizeof text, "%s %s %s %d %d %s %s %s %d", asynq_job_id(job), asynq_job_type(job),
                          asynq_job_queue(job), asynq_job_retry_count(job), asynq_job_max_retry(job),
                          who ? who : "nobody", configured, (const char *)arg, (int)getpid());
    return asynq_write_result(job, text, (size_t)length);
}

static int fail(asynq_job *job, void *arg)
{
    (void)arg;
    const char *how = asynq_job_payload(job, NULL);
    if (strcmp(how, "skip") == 0)
        return asynq_skip_retry(job, "never");
    if (strcmp(how, "revoke") == 0)
        return asynq_revoke(job, "not wanted");
    if (strcmp(how, "snooze") == 0)
        return asynq_snooze(job, 55000, "asleep");
    if (strcmp(how, "later") == 0)
        return asynq_retry_in(job, 77000, "busy");
    return asynq_fail(job, "no such thing");
}

static int wait_for_end(asynq_job *job, void *arg)
{
    (void)arg;
    FILE *out = fopen(asynq_job_payload(job, NULL), "w");
    if (!out)
        return asynq_fail(job, "no file");
    fputs("waiting", out);
    fflush(out);
    if (asynq_job_wait_cancelled(job, 60000)) {
        rewind(out);
        fputs("cancelled", out);
    }
    fclose(out);
    return ASYNQ_OUTCOME_DONE;
}

/* Says how far it is, more when a file is there, and ends when it is not any more. */
static int progress(asynq_job *job, void *arg)
{
    (void)arg;
    const char *path = asynq_job_payload(job, NULL);
    asynq_job_progress(job, 0.42, "the second file");
    while (access(path, F_OK) && !asynq_job_wait_cancelled(job, 20))
        asynq_job_progress(job, 0.42, NULL);
    asynq_job_progress(job, -1, "\033[31malmost");
    asynq_job_progress(job, 0.9, NULL);
    while (!access(path, F_OK) && !asynq_job_wait_cancelled(job, 20))
        continue;
    return ASYNQ_OUTCOME_DONE;
}

static int crash(asynq_job *job, void *arg)
{
    (void)job;
    fputs("about to crash\n", stderr);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer has one of its own */
    *(volatile int *)arg = 0;
    return ASYNQ_OUTCOME_DONE;
}

static void *complete(void *job)
{
    usleep(10000);
    asynq_complete(job, asynq_write_result(job, "later", 5));
    return NULL;
}

static int later(asynq_job *job, void *arg)
{
    (void)arg;
    pthread_t thread;
    if (pthread_create(&thread, NULL, complete, job))
        return asynq_fail(job, "no thread");
    pthread_detach(thread);
    return ASYNQ_OUTCOME_DEFERRED;
}

static char argument[] = "argument";

static const asynq_route routes[] = {
    {.pattern = "p:echo", .handler = echo},
    {.pattern = "p:describe", .handler = describe, .arg = argument},
    {.pattern = "p:fail", .handler = fail},
    {.pattern = "p:wait", .handler = wait_for_end},
    {.pattern = "p:progress", .handler = progress},
    {.pattern = "p:crash", .handler = crash},
    {.pattern = "p:later", .handler = later, .kind = ASYNQ_HANDLER_ASYNC},
    {0},
};

/* With a config "wait PATH" for a file that is called so. */
static void wait_for(const char *suffix)
{
    char path[512];
    if (strncmp(configured, "wait ", 5) != 0)
        return;
    fprintf(stderr, "waits for %s\n", suffix);
    snprintf(path, sizeof path, "%s%s", configured + 5, suffix);
    while (access(path, F_OK))
        usleep(10000);
}

static int start(const char *config, asynq_error *error)
{
    int redis;
    snprintf(configured, sizeof configured, "%s", config);
    wait_for(".start");
    if (sscanf(config, "refuse when %d is stopped", &redis) == 1) {
        usleep(300000); /* others have begun to use it */
        kill(redis, SIGSTOP);
    } else if (strcmp(config, "refuse") != 0) {
        return ASYNQ_OK;
    }
    snprintf(error->text, sizeof error->text, "it does not want to");
    return ASYNQ_E_INVALID;
}

static void stop(void)
{
    wait_for(".stop");
    fputs("stopped\n", stderr);
}

#if defined(WRONG_VERSION)
ASYNQ_API const asynq_plugin *asynq_plugin_7(void);
ASYNQ_API const asynq_plugin *asynq_plugin_7(void)
{
    return NULL;
}
#elif defined(WITHOUT_SIZES)
ASYNQ_PLUGIN(.name = "test", .routes = routes, .start = start, .stop = stop, .sizes = NULL)
#elif defined(WRONG_SYMBOL)
ASYNQ_API int missing_function(void);
static int use_missing(asynq_job *job, void *arg)
{
    (void)job, (void)arg;
    return missing_function();
}
static const asynq_route wrong_routes[] = {{.pattern = "x", .handler = use_missing}, {0}};
ASYNQ_PLUGIN(.name = "test", .routes = wrong_routes)
#elif !defined(WRONG_ENTRY)
ASYNQ_PLUGIN(.name = "test", .routes = routes, .start = start, .stop = stop)
#endif
