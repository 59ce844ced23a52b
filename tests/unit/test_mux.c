#include "unit.h"

#include "base/clock.h"
#include "server/job_port.h"
#include "server/mux.h"

#include <string.h>

static int nothing(asynq_job *job, void *arg)
{
    (void)job, (void)arg;
    return ASYNQ_OUTCOME_DONE;
}

static char order[64];

static asynq_mux *mux_with(const char *const *patterns)
{
    asynq_mux *mux = asynq_mux_new();
    for (; *patterns; patterns++)
        ck_assert_int_eq(asynq_mux_handle(mux, &(asynq_route){.pattern = *patterns, .handler = nothing}, NULL), 0);
    return mux;
}

START_TEST(longest_prefix_wins)
{
    const char *const patterns[] = {"email:welcome", "email", "e", "email:welcome:vip:gold", "zebra", NULL};
    asynq_mux *mux = mux_with(patterns);
    const char *const pairs[][2] = {
        {"email", "email"},
        {"emails:send", "email"},
        {"email:welcome", "email:welcome"},
        {"email:welcome:vip", "email:welcome"},
        {"email:welcome:vip:gold:x", "email:welcome:vip:gold"},
        {"error", "e"},
        {"ema", "e"},
        {"zebr", ""},
        {"a", ""},
        {"", ""},
        {"zebras", "zebra"},
        {"sms", ""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        ck_assert_str_eq(asynq_mux_match(mux, pairs[i][0]), pairs[i][1]);
    asynq_mux_free(mux);
}
END_TEST

static int all(asynq_job *job, void *arg)
{
    return nothing(job, arg);
}

START_TEST(handlers_of_types)
{
    const char *const patterns[] = {"email", NULL};
    asynq_mux *mux = mux_with(patterns);
    asynq_handler handler;
    void *arg;
    ck_assert_str_eq(asynq_mux_find(mux, "email:x", &handler, NULL), "email");
    ck_assert(handler == nothing);
    ck_assert_str_eq(asynq_mux_find(mux, "sms", &handler, &arg), "");
    ck_assert(handler && handler != nothing);
    asynq_mux_set_not_found(mux, nothing, &order);
    ck_assert_str_eq(asynq_mux_find(mux, "sms", &handler, &arg), "");
    ck_assert(handler == nothing && arg == &order);
    ck_assert_int_eq(asynq_mux_handle(mux, &(asynq_route){.pattern = "", .handler = all, .arg = mux}, NULL), 0);
    ck_assert_int_eq(asynq_mux_handle(mux, &(asynq_route){.pattern = "", .handler = all}, NULL), ASYNQ_E_INVALID);
    const char *const others[] = {"sms", "", "a", "zebra", "emai"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_str_eq(asynq_mux_find(mux, others[i], &handler, &arg), "");
        ck_assert(handler == all && arg == mux);
    }
    ck_assert_str_eq(asynq_mux_find(mux, "email", &handler, NULL), "email");
    asynq_mux_free(mux);
}
END_TEST

START_TEST(bad_routes)
{
    asynq_mux *mux = asynq_mux_new();
    asynq_error error;
    ck_assert_int_eq(asynq_mux_handle(mux, &(asynq_route){.pattern = " \t", .handler = nothing}, &error),
                     ASYNQ_E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "blank"));
    ck_assert_int_eq(asynq_mux_handle(mux, &(asynq_route){.pattern = "a"}, &error), ASYNQ_E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "nil handler"));
    ck_assert_int_eq(asynq_mux_handle(mux, &(asynq_route){.pattern = "a", .handler = nothing}, &error), 0);
    ck_assert_int_eq(asynq_mux_handle(mux, &(asynq_route){.pattern = "a", .handler = nothing}, &error),
                     ASYNQ_E_INVALID);
    ck_assert_str_eq(error.text, "asynq: multiple registrations for a");
    ck_assert_int_eq(asynq_mux_handle(mux, &(asynq_route){.pattern = "b", .handler = nothing, .kind = 7}, &error),
                     ASYNQ_E_INVALID);
    asynq_mux_free(mux);
}
END_TEST

static asynq_job *job_of_type(job_port *port, const char *type)
{
    task_message message = {.type = bytes_of(type), .id = bytes_of("i"), .queue = bytes_of("q")};
    buf encoded;
    buf_init(&encoded, 0);
    ck_assert_int_eq(task_message_encode(&message, &encoded, NULL), 0);
    asynq_job *job = job_new(port, (bytes){encoded.data, encoded.length}, NULL);
    buf_clear(&encoded);
    return job;
}

static int note(asynq_job *job, asynq_next *next, void *arg)
{
    strcat(order, arg);
    int outcome = asynq_next_run(next, job);
    strcat(order, arg);
    return outcome;
}

START_TEST(middleware_and_nesting)
{
    char a[] = "a", b[] = "b", c[] = "c";
    job_port *port = job_port_new(NULL);
    asynq_job *job = job_of_type(port, "email:x");
    const char *const inner_patterns[] = {"email:", NULL};
    asynq_mux *inner = mux_with(inner_patterns), *outer = asynq_mux_new();
    ck_assert_int_eq(
        asynq_mux_handle(outer, &(asynq_route){.pattern = "email", .handler = asynq_mux_dispatch, .arg = inner}, NULL),
        0);
    ck_assert_int_eq(asynq_mux_use(outer, note, a, NULL), 0);
    ck_assert_int_eq(asynq_mux_use(outer, note, b, NULL), 0);
    ck_assert_int_eq(asynq_mux_use(inner, note, c, NULL), 0);
    ck_assert_int_eq(asynq_mux_dispatch(job, outer), ASYNQ_OUTCOME_DONE);
    ck_assert_str_eq(order, "abccba");
    job_unref(job);
    job = job_of_type(port, "sms \"x\"");
    ck_assert_int_eq(asynq_mux_dispatch(job, outer), ASYNQ_OUTCOME_FAILED);
    ck_assert_str_eq(job->error_text.data, "handler not found for task \"sms \\\"x\\\"\"");
    asynq_mux_set_not_found(outer, nothing, NULL);
    ck_assert_int_eq(asynq_mux_dispatch(job, outer), ASYNQ_OUTCOME_DONE);
    job_unref(job);
    job_port_unref(port);
    asynq_mux_free(inner);
    asynq_mux_free(outer);
}
END_TEST

/* Completing a job whose server is gone is legal and does nothing. */
START_TEST(late_completion)
{
    job_port *port = job_port_new(NULL); /* closed from the beginning */
    asynq_job *job = job_of_type(port, "t");
    job_port_unref(port);
    asynq_complete(job, ASYNQ_OUTCOME_DONE); /* frees it */
}
END_TEST

/* From Go, where texts may have NUL bytes. */
START_TEST(bytes_with_nul)
{
    task_header header = {{"k", 1}, {"v\0w", 3}};
    task_message message = {
        .type = {"t\0u", 3}, .id = {"i\0j", 3}, .queue = bytes_of("q"), .headers = &header, .header_count = 1};
    buf encoded;
    size_t length;
    job_port *port = job_port_new(NULL);
    buf_init(&encoded, 0);
    ck_assert_int_eq(task_message_encode(&message, &encoded, NULL), 0);
    asynq_job *job = job_new(port, (bytes){encoded.data, encoded.length}, NULL);
    ck_assert_mem_eq(asynq_job_id_bytes(job, &length), "i\0j", 4);
    ck_assert_uint_eq(length, 3);
    ck_assert_mem_eq(asynq_job_type_bytes(job, &length), "t\0u", 4);
    ck_assert_uint_eq(length, 3);
    ck_assert_mem_eq(asynq_job_header_bytes(job, "k", &length), "v\0w", 4);
    ck_assert_uint_eq(length, 3);
    ck_assert_str_eq(asynq_job_header(job, "k"), "v");
    ck_assert_ptr_null(asynq_job_header_bytes(job, "none", &length));
    ck_assert_uint_eq(length, 0);
    job_unref(job);
    job_port_unref(port);
    buf_clear(&encoded);
}
END_TEST

START_TEST(texts_and_results)
{
    job_port *port = job_port_new(NULL);
    asynq_job *job = job_of_type(port, "t");
    ck_assert_int_eq(asynq_fail(job, "bad %s", "\xff thing"), ASYNQ_OUTCOME_FAILED);
    ck_assert_str_eq(job->error_text.data, "bad ? thing");
    ck_assert_int_eq(asynq_skip_retry(job, "%70000d", 1), ASYNQ_OUTCOME_SKIP_RETRY);
    ck_assert_uint_eq(job->error_text.length, 64 * 1024);
    ck_assert_int_eq(asynq_write_result(job, "a\0b", 3), ASYNQ_OUTCOME_DONE);
    ck_assert_int_eq(asynq_write_result(job, "", 0), ASYNQ_OUTCOME_DONE);
    ck_assert_uint_eq(job->result.length, 0);
    ck_assert(!asynq_job_wait_cancelled(job, 1));
    job_cancel(job, ASYNQ_CANCEL_REQUESTED);
    ck_assert(asynq_job_wait_cancelled(job, 100000));
    ck_assert_int_eq(asynq_write_result(job, "x", 1), ASYNQ_OUTCOME_FAILED);
    job_unref(job);
    job_port_unref(port);
}
END_TEST

START_TEST(deadlines)
{
    const int64_t s = NS_PER_SECOND, now = 1000 * s + 5;
    const struct {
        int64_t timeout, deadline, expected;
    } rows[] = {
        {0, 0, now + 1800 * s},    {60, 0, now + 60 * s},     {0, 1500, 1500 * s},
        {60, 1500, now + 60 * s},  {600, 1500, 1500 * s},     {-1, 0, now - s},
        {INT64_MAX, 0, INT64_MAX}, {1, INT64_MIN, INT64_MIN}, {0, -5, -5 * s},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        task_message message = {.timeout = rows[i].timeout, .deadline = rows[i].deadline};
        ck_assert_int_eq(job_effective_deadline_ns(&message, now), rows[i].expected);
    }
}
END_TEST

Suite *suite_mux(void)
{
    const TTest *const list[] = {longest_prefix_wins,    handlers_of_types, bad_routes,
                                 middleware_and_nesting, late_completion,   bytes_with_nul,
                                 texts_and_results,      deadlines,         NULL};
    return suite_of("mux and job", list);
}
