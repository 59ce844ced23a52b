#include "unit.h"

#include "base/clock.h"
#include "server/hooks.h"
#include "server/job_port.h"
#include "server/server.h"

#include <semaphore.h>
#include <string.h>

static sem_t entered, go_on;
static char told[64];
static asynq_failure last;

/* Blocks, as a function may that asks a service. */
static void report_slowly(const asynq_failure *failure, void *arg)
{
    ck_assert_ptr_eq(arg, told);
    last = *failure;
    strcat(strcat(told, failure->error), " ");
    sem_post(&entered);
    sem_wait(&go_on);
}

static void report_end(const asynq_attempt *attempt, void *arg)
{
    (void)arg;
    strcat(strcat(told, asynq_attempt_end_name(attempt->end)), " ");
}

static asynq_job *job_of(job_port *port)
{
    static const char raw[] = "\x0a\x01t\x1a\x01i\x22\x01q";
    asynq_job *job = job_new(port, (bytes){raw, sizeof raw - 1}, NULL);
    ck_assert_ptr_nonnull(job);
    return job;
}

static void report(asynq_server *server, const asynq_job *job, const char *error)
{
    const asynq_failure failure = hook_failure(job, ASYNQ_OUTCOME_FAILED, error);
    hook_error(server, &failure);
}

/* One is with the function, two wait, the fourth is dropped; none waits for the function but its own thread. */
START_TEST(reports_wait_and_are_dropped)
{
    asynq_server_options options = {
        .report_error = report_slowly, .report_end = report_end, .max_waiting_reports = 2, .arg = told};
    asynq_server *server = asynq_server_new(&options, NULL);
    asynq_server_stats stats;
    job_port *port = job_port_new(NULL);
    asynq_job *job = job_of(port);
    sem_init(&entered, 0, 0);
    sem_init(&go_on, 0, 0);
    ck_assert_int_eq(reports_start(server), 0);
    report(server, job, "one");
    sem_wait(&entered);
    report(server, job, "two");
    hook_end(server, &(asynq_attempt){.job = job, .end = ASYNQ_ATTEMPT_RETRIED, .error = ""});
    report(server, job, "three");
    asynq_server_get_stats(server, &stats);
    ck_assert_int_eq(stats.reports_dropped, 1);
    job_unref(job); /* those that wait have it */
    sem_post(&go_on);
    sem_post(&go_on);
    server->shutdown.ends_at_ms = clock_steady_ms() + 60000;
    reports_stop(server);
    ck_assert_str_eq(told, "one two retried ");
    asynq_server_free(server);
    job_port_unref(port);
}
END_TEST

/* A function that does not return holds up neither the end of the server nor what is freed. */
START_TEST(reports_that_never_return)
{
    asynq_server *server = asynq_server_new(&(asynq_server_options){.report_error = report_slowly, .arg = told}, NULL);
    job_port *port = job_port_new(NULL);
    asynq_job *job = job_of(port);
    sem_init(&entered, 0, 0);
    sem_init(&go_on, 0, 0);
    ck_assert_int_eq(reports_start(server), 0);
    report(server, job, "one");
    report(server, job, "two");
    sem_wait(&entered);
    reports_stop(server);
    asynq_server_free(server);
    job_unref(job);
    ck_assert_str_eq(asynq_job_id(last.job), "i");
    sem_post(&go_on);
    ck_assert_str_eq(told, "one ");
    job_port_unref(port);
}
END_TEST

/* What a handler has set counts only when it has ended, as it may still be writing. */
START_TEST(codes_and_reasons)
{
    job_port *port = job_port_new(NULL);
    asynq_job *job = job_of(port);
    asynq_job_set_code(job, 503);
    ck_assert_int_eq(asynq_job_code(job), 503);
    ck_assert_str_eq(asynq_job_error(job), "");
    ck_assert_int_eq(asynq_fail(job, "no answer"), ASYNQ_OUTCOME_FAILED);
    ck_assert_str_eq(asynq_job_error(job), "no answer");
    ck_assert_int_eq(hook_failure(job, ASYNQ_OUTCOME_FAILED, "x").code, 0);
    job->result_is_ours = true;
    ck_assert_int_eq(hook_failure(job, ASYNQ_OUTCOME_FAILED, "x").code, 503);
    ck_assert_int_eq(asynq_job_cancel_reason(job), ASYNQ_CANCEL_NONE);
    job_cancel(job, ASYNQ_CANCEL_LEASE_LOST);
    job_cancel(job, ASYNQ_CANCEL_SHUTDOWN);
    ck_assert_int_eq(asynq_job_cancel_reason(job), ASYNQ_CANCEL_LEASE_LOST);
    ck_assert_int_eq(hook_failure(job, ASYNQ_OUTCOME_FAILED, "x").cancel_reason, ASYNQ_CANCEL_LEASE_LOST);
    job_unref(job);
    job_port_unref(port);
}
END_TEST

START_TEST(default_delay)
{
    const struct {
        int retries;
        int64_t min_s, max_s;
    } rows[] = {{0, 15, 44}, {1, 16, 74}, {25, 390640, 391394}, {-3, 15, 44}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int round = 0; round < 100; round++) {
            int64_t delay_ms = asynq_default_retry_delay_ms(rows[i].retries);
            ck_assert_int_ge(delay_ms, rows[i].min_s * 1000);
            ck_assert_int_le(delay_ms, rows[i].max_s * 1000);
        }
    bool differs = false;
    for (int64_t round = 0, first = asynq_default_retry_delay_ms(0); round < 1000 && !differs; round++)
        differs = asynq_default_retry_delay_ms(0) != first;
    ck_assert(differs);
    ck_assert_int_gt(asynq_default_retry_delay_ms(INT32_MAX), 0);
}
END_TEST

Suite *suite_hooks(void)
{
    const TTest *const list[] = {reports_wait_and_are_dropped, reports_that_never_return, codes_and_reasons,
                                 default_delay, NULL};
    return suite_of("hooks", list);
}
