#include "unit.h"

#include <asynq/asynq.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(every_code_has_name_and_text)
{
#define EXPECT(suffix, number, again, sentence)                                                                        \
    ck_assert_int_eq(ASYNQ_E_##suffix, number);                                                                        \
    ck_assert_str_eq(asynq_status_name(number), "ASYNQ_E_" #suffix);                                                   \
    ck_assert_str_eq(asynq_status_text(number), sentence);                                                             \
    ck_assert_int_eq(asynq_status_is_retryable(number), again);
    ASYNQ_ERROR_MAP(EXPECT)
    ck_assert_str_eq(asynq_status_text(0), "success");
    ck_assert_str_eq(asynq_status_name(-999), "ASYNQ_E_?");
}
END_TEST

static int nothing(asynq_job *job, void *arg)
{
    (void)job, (void)arg;
    return ASYNQ_OUTCOME_DONE;
}

static void expect_refused(const asynq_server_options *options, const char *text)
{
    asynq_error error = {0};
    ck_assert_ptr_null(asynq_server_new(options, &error));
    ck_assert_int_eq(error.code, ASYNQ_E_INVALID);
    ck_assert_msg(strstr(error.text, text) != NULL, "\"%s\" does not contain \"%s\"", error.text, text);
}

START_TEST(server_options)
{
    const asynq_route twice[] = {{.pattern = "a", .handler = nothing}, {.pattern = "a", .handler = nothing}, {0}};
    const asynq_queue same[] = {{"q", 1}, {"q", 2}, {0}};
    const asynq_queue bad[] = {{"\xff", 1}, {0}};
    expect_refused(&(asynq_server_options){.routes = twice}, "multiple registrations");
    expect_refused(&(asynq_server_options){.queues = same}, "given twice");
    expect_refused(&(asynq_server_options){.queues = bad}, "UTF-8");
    expect_refused(&(asynq_server_options){.redis = "nowhere"}, "scheme");
    expect_refused(&(asynq_server_options){.shutdown_timeout_ms = -1}, "shutdown_timeout_ms");
}
END_TEST

START_TEST(server_without_route)
{
    asynq_error error;
    asynq_server *server = asynq_server_new(NULL, &error);
    ck_assert_ptr_nonnull(server);
    ck_assert_str_eq(asynq_server_status(server), "new");
    ck_assert_int_eq(asynq_server_start(server, &error), ASYNQ_E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "nil handler"));
    asynq_server_stop(server); /* no effect */
    asynq_server_shutdown(server);
    asynq_server_free(server);
    asynq_server_free(NULL);
}
END_TEST

static void block_in_callback(const asynq_enqueued *result, void *arg)
{
    asynq_client *client = arg;
    asynq_error error;
    ck_assert_int_eq(result->error.code, ASYNQ_E_UNAVAILABLE);
    ck_assert_int_eq(asynq_enqueue(client, &(asynq_task){.type = "t"}, NULL, NULL, &error), ASYNQ_E_STATE);
    ck_assert_ptr_nonnull(strstr(error.text, "asynq_enqueue_async"));
}

/* Calls that could never end are refused: a blocking one from a callback, any one in a forked child. */
START_TEST(client_misuse)
{
    asynq_error error;
    asynq_client *client =
        asynq_client_new(&(asynq_client_options){.redis = "unix:///nowhere", .timeout_ms = 1}, &error);
    ck_assert_int_eq(asynq_enqueue_async(client, &(asynq_task){.type = "t"}, NULL, block_in_callback, client, &error),
                     0);
    asynq_client_flush(client);
    pid_t child = fork();
    if (child == 0) {
        bool refused = asynq_enqueue(client, &(asynq_task){.type = "t"}, NULL, NULL, &error) == ASYNQ_E_STATE;
        _exit(refused && strstr(error.text, "fork") ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    asynq_client_free(client);
}
END_TEST

/* Calls have time limits of their own; those of the objects are of minutes here. */
START_TEST(limits_of_calls)
{
    asynq_error error;
    asynq_enqueued results[2];
    asynq_name_list queues;
    const asynq_task tasks[] = {{.type = "t"}, {.type = "u"}};
    asynq_client_options options = {.redis = "unix:///nowhere", .timeout_ms = 600000};
    asynq_client *client = asynq_client_new(&options, &error);
    ck_assert_int_eq(asynq_enqueue_within(client, tasks, 2, NULL, 50, results, &error), ASYNQ_E_UNAVAILABLE);
    ck_assert_int_eq(results[1].error.code, ASYNQ_E_UNAVAILABLE);
    ck_assert_int_eq(asynq_client_flush_within(client, 60000, &error), 0); /* its thread may still be counting */
    asynq_inspector *inspector =
        asynq_inspector_new(&(asynq_inspector_options){.redis = "unix:///nowhere", .timeout_ms = 600000}, &error);
    asynq_inspector_set_timeout(inspector, 50);
    ck_assert_int_eq(asynq_inspector_queues(inspector, &queues, &error), ASYNQ_E_UNAVAILABLE);
    asynq_inspector_free(inspector);
    asynq_client_free(client);
    options.timeout_ms = 1500;
    client = asynq_client_new(&options, &error);
    ck_assert_int_eq(asynq_enqueue_async(client, tasks, NULL, NULL, NULL, &error), 0);
    ck_assert_int_eq(asynq_client_flush_within(client, 1, &error), ASYNQ_E_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(error.text, "1 calls"));
    ck_assert_int_eq(asynq_client_flush_within(client, 60000, &error), 0);
    asynq_client_free(client);
}
END_TEST

/* What the child of a fork gets from objects that its parent uses. */
static bool scheduler_refuses_child(asynq_scheduler *scheduler)
{
    asynq_error error;
    bool refuses = asynq_scheduler_register(scheduler, &(asynq_periodic){.spec = "@daily", .task.type = "t"}, NULL,
                                            &error) == ASYNQ_E_STATE &&
                   strstr(error.text, "fork") && asynq_scheduler_start(scheduler, &error) == ASYNQ_E_STATE &&
                   asynq_scheduler_unregister(scheduler, "x", &error) == ASYNQ_E_STATE;
    asynq_scheduler_shutdown(scheduler);
    asynq_scheduler_free(scheduler);
    return refuses;
}

static bool inspector_refuses_child(asynq_inspector *inspector)
{
    asynq_error error;
    asynq_name_list queues;
    bool refuses = asynq_inspector_queues(inspector, &queues, &error) == ASYNQ_E_STATE && strstr(error.text, "fork");
    asynq_inspector_free(inspector);
    return refuses;
}

START_TEST(objects_of_the_parent)
{
    asynq_error error;
    int status;
    asynq_name_list queues;
    asynq_scheduler *scheduler = asynq_scheduler_new(&(asynq_scheduler_options){.redis = "unix:///nowhere"}, &error);
    asynq_inspector *inspector =
        asynq_inspector_new(&(asynq_inspector_options){.redis = "unix:///nowhere", .timeout_ms = 1}, &error);
    ck_assert_int_eq(asynq_scheduler_start(scheduler, &error), 0);
    ck_assert_int_eq(asynq_inspector_queues(inspector, &queues, &error), ASYNQ_E_UNAVAILABLE);
    pid_t child = fork();
    if (child == 0) {
        alarm(30); /* instead of waiting for a lock that nobody gives back */
        _exit(scheduler_refuses_child(scheduler) && inspector_refuses_child(inspector) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(asynq_inspector_queues(inspector, &queues, &error), ASYNQ_E_UNAVAILABLE);
    asynq_inspector_free(inspector);
    asynq_scheduler_free(scheduler);
}
END_TEST

START_TEST(log_levels)
{
    asynq_log_level level;
    asynq_error error;
    ck_assert_int_eq(asynq_log_level_parse("Warning", &level, &error), 0);
    ck_assert_int_eq(level, ASYNQ_LOG_WARN);
    ck_assert_int_eq(asynq_log_level_parse("loud", &level, &error), ASYNQ_E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "unsupported log level \"loud\""));
}
END_TEST

Suite *suite_public(void)
{
    const TTest *const list[] = {every_code_has_name_and_text,
                                 server_options,
                                 server_without_route,
                                 client_misuse,
                                 limits_of_calls,
                                 objects_of_the_parent,
                                 log_levels,
                                 NULL};
    return suite_of("public", list);
}
