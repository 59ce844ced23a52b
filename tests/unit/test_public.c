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
    return ASYNQ_DONE;
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
    expect_refused(&(asynq_server_options){.size = 3}, "INIT macro");
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

/* A program built against a newer header: fields that we do not know must be zero. */
START_TEST(newer_structs)
{
    struct {
        asynq_client_options known;
        long added;
    } options = {.known = {.size = sizeof options}};
    asynq_error error;
    asynq_client *client = asynq_client_new(&options.known, &error);
    ck_assert_ptr_nonnull(client);
    asynq_client_free(client);
    options.added = 1;
    ck_assert_ptr_null(asynq_client_new(&options.known, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "does not know"));
}
END_TEST

/* A program built against an older header, which has no room for what was added since (grown_server.c). */
START_TEST(older_stats)
{
    struct {
        asynq_server_stats known;
        int64_t beyond[4];
    } stats;
    const size_t sizes[] = {0, sizeof stats.known, sizeof stats};
    asynq_server *server = asynq_server_new(NULL, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(&stats, 1, sizeof stats);
        stats.known.size = sizes[i];
        asynq_server_get_stats(server, &stats.known);
        ck_assert_uint_eq(stats.known.size, sizes[i]);
        ck_assert_int_eq(stats.known.last_beat_ms, 0);
        ck_assert_int_eq(stats.beyond[0] == 0, sizes[i] == sizeof stats);
    }
    asynq_server_free(server);
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
                                 newer_structs,
                                 older_stats,
                                 client_misuse,
                                 objects_of_the_parent,
                                 log_levels,
                                 NULL};
    return suite_of("public", list);
}
