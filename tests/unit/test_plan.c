#include "unit.h"

#include "base/clock.h"
#include "client/plan.h"
#include "client/task_option.h"

#include <string.h>

static const int64_t now_ns = INT64_C(1700000000) * NS_PER_SECOND + 500 * NS_PER_MS;

static void expect_refused(asynq_task_options options, const char *text)
{
    task_plan plan;
    asynq_error error = {0};
    asynq_task task = {.type = "t", .options = options};
    ck_assert_int_eq(task_plan_make(&plan, unit_space(), &task, NULL, now_ns, &error), ASYNQ_E_INVALID);
    ck_assert_msg(strstr(error.text, text) != NULL, "\"%s\" does not contain \"%s\"", error.text, text);
}

START_TEST(refusals)
{
    char long_id[200];
    memset(long_id, 'x', sizeof long_id);
    long_id[sizeof long_id - 1] = '\0';
    expect_refused((asynq_task_options){.unique_ms = 999}, "Unique TTL");
    expect_refused((asynq_task_options){.unique_ms = -5000}, "Unique TTL");
    expect_refused((asynq_task_options){.max_retry = INT64_C(1) << 31}, "max_retry");
    expect_refused((asynq_task_options){.timeout_ms = INT64_MAX}, "timeout_ms");
    expect_refused((asynq_task_options){.retention_ms = -INT64_MAX}, "retention_ms");
    expect_refused((asynq_task_options){.process_in_ms = INT64_MAX}, "process_in_ms");
    expect_refused((asynq_task_options){.process_at_ms = INT64_MAX}, "process_at_ms");
    expect_refused((asynq_task_options){.process_at_ms = 253402300800000}, "process_at_ms lies beyond the year 9999");
    expect_refused((asynq_task_options){.process_at_ms = 1, .process_in_ms = 1}, "both");
    expect_refused((asynq_task_options){.timeout_ms = -1}, "timeout_ms is -1; it cannot be negative");
    expect_refused((asynq_task_options){.retention_ms = -1}, "retention_ms is -1; it cannot be negative");
    expect_refused((asynq_task_options){.deadline_ms = INT64_MIN + 1}, "deadline_ms is -9223372036854775807");
    expect_refused((asynq_task_options){.id = long_id}, "task ID has 199 bytes");
    expect_refused((asynq_task_options){.id = "\xff"}, "UTF-8");
    expect_refused((asynq_task_options){.queue = "\u2003\u3000"}, "queue name");
    expect_refused((asynq_task_options){.group = ""}, "group key");
    expect_refused((asynq_task_options){.headers = &(asynq_header){NULL, "x"}, .header_count = 1}, "header 0");
    expect_refused((asynq_task_options){.headers = &(asynq_header){"k", "\xff"}, .header_count = 1}, "UTF-8");
}
END_TEST

/* It is refused before it is read: Redis would close the connection, and the client send it again. */
START_TEST(more_than_redis_takes)
{
    task_plan plan;
    asynq_error error = {0};
    asynq_task task = {.type = "t", .payload = "", .payload_length = (size_t)600 << 20};
    ck_assert_int_eq(task_plan_make(&plan, unit_space(), &task, NULL, now_ns, &error), ASYNQ_E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "629145600 bytes"));
}
END_TEST

START_TEST(no_limit_at_all)
{
    task_plan plan;
    asynq_task task = {.type = "t", .options = {.timeout_ms = ASYNQ_NONE, .retention_ms = ASYNQ_NONE}};
    ck_assert_int_eq(task_plan_make(&plan, unit_space(), &task, NULL, now_ns, NULL), 0);
    ck_assert_int_eq(plan.enqueued.timeout_ms, INT64_C(3153600000000)); /* 100 years: Go reads 0 as 30 minutes */
    task_plan_clear(&plan);
    task.options.deadline_ms = 1800000000000;
    ck_assert_int_eq(task_plan_make(&plan, unit_space(), &task, NULL, now_ns, NULL), 0);
    ck_assert_int_eq(plan.enqueued.timeout_ms, 0);
    ck_assert_int_eq(plan.enqueued.deadline_ms, 1800000000000);
    task_plan_clear(&plan);
}
END_TEST

START_TEST(none_overrides)
{
    task_plan plan;
    asynq_task task = {.type = "t", .options = {.max_retry = 5, .retention_ms = 60000, .unique_ms = 60000}};
    asynq_task_options over = {.max_retry = ASYNQ_NONE, .retention_ms = ASYNQ_NONE, .unique_ms = ASYNQ_NONE};
    ck_assert_int_eq(task_plan_make(&plan, unit_space(), &task, &over, now_ns, NULL), 0);
    ck_assert_int_eq(plan.enqueued.max_retry, 0);
    ck_assert_int_eq(plan.enqueued.retention_ms, 0);
    ck_assert_uint_eq(plan.item.lock.length, 0);
    task_plan_clear(&plan);
}
END_TEST

START_TEST(later_than_now)
{
    task_plan plan;
    asynq_task task = {.type = "t", .options = {.process_at_ms = now_ns / NS_PER_MS}};
    ck_assert_int_eq(task_plan_make(&plan, unit_space(), &task, NULL, now_ns, NULL), 0);
    ck_assert_int_eq(plan.item.kind, ENQUEUE_PENDING); /* not strictly later */
    task_plan_clear(&plan);
    task.options.process_at_ms++;
    ck_assert_int_eq(task_plan_make(&plan, unit_space(), &task, NULL, now_ns, NULL), 0);
    ck_assert_int_eq(plan.item.kind, ENQUEUE_SCHEDULED);
    ck_assert_int_eq(plan.item.process_at_ms, 1700000000501); /* as it is reported */
    ck_assert_int_eq(plan.enqueued.next_process_at_ms, 1700000000501);
    task_plan_clear(&plan);
}
END_TEST

static task_plan planned(asynq_task_options options)
{
    task_plan plan;
    asynq_error error = {0};
    ck_assert_msg(
        task_plan_make(&plan, unit_space(), &(asynq_task){.type = "t", .options = options}, NULL, now_ns, &error) == 0,
        "%s", error.text);
    task_plan_clear(&plan); /* the numbers stay */
    return plan;
}

START_TEST(durations_are_never_rounded_down)
{
    task_plan plan = planned(
        (asynq_task_options){.timeout_ms = 1, .deadline_ms = 1700000100001, .retention_ms = 500, .unique_ms = 1001});
    ck_assert_int_eq(plan.enqueued.timeout_ms, 1000);
    ck_assert_int_eq(plan.enqueued.deadline_ms, 1700000101000);
    ck_assert_int_eq(plan.enqueued.retention_ms, 1000);
    ck_assert_int_eq(plan.item.lock_life_s, 2);
    plan =
        planned((asynq_task_options){.timeout_ms = 90900, .deadline_ms = 1, .retention_ms = 2000, .unique_ms = 3000});
    ck_assert_int_eq(plan.enqueued.timeout_ms, 91000);
    ck_assert_int_eq(plan.enqueued.deadline_ms, 1000);
    ck_assert_int_eq(plan.enqueued.retention_ms, 2000);
    ck_assert_int_eq(plan.item.lock_life_s, 3);
    plan = planned((asynq_task_options){.process_in_ms = 950, .unique_ms = 1000});
    ck_assert_int_eq(plan.item.process_at_ms, 1700000001450);
    ck_assert_int_eq(plan.enqueued.next_process_at_ms, 1700000001450);
    ck_assert_int_eq(plan.item.lock_life_s, 2);
}
END_TEST

START_TEST(the_ends_of_time)
{
    task_plan plan = planned((asynq_task_options){.process_at_ms = 253402300799999, .unique_ms = 9223372036999});
    ck_assert_int_eq(plan.item.process_at_ms, 253402300799999);
    ck_assert_int_eq(plan.item.lock_life_s, 9223372036);
    plan = planned((asynq_task_options){.unique_ms = 9223372036999, .timeout_ms = 9223372036999});
    ck_assert_int_eq(plan.item.lock_life_s, 9223372036);
    plan = planned((asynq_task_options){.deadline_ms = INT64_MAX, .process_at_ms = INT64_MIN + 1});
    ck_assert_int_eq(plan.enqueued.deadline_ms, INT64_MAX);
    ck_assert_int_eq(plan.item.kind, ENQUEUE_PENDING);
}
END_TEST

/* Each word of the struct is an option of the table, or one of those that are none. */
START_TEST(every_option_has_a_row)
{
    for (size_t at = 0; at < sizeof(asynq_task_options); at += sizeof(int64_t)) {
        int rows = at == offsetof(asynq_task_options, headers) || at == offsetof(asynq_task_options, header_count);
        for (size_t i = 0; i < TASK_OPTIONS; i++)
            rows += task_options[i].offset == at;
        ck_assert_msg(rows == 1, "%d rows for the field at offset %zu", rows, at);
    }
    for (const task_option *row = task_options; row < task_options + TASK_OPTIONS; row++) {
        ck_assert(row->name && row->go_name && row->flag && row->value && row->help && row->member_name);
        ck_assert_msg((row->kind == TASK_OPTION_TEXT) == (row->noun && row->blank && row->max_bytes), "%s", row->name);
        ck_assert_msg(!row->min_ms == !row->too_short, "%s", row->name);
    }
}
END_TEST

START_TEST(merging)
{
    asynq_task_options own = {.queue = "a", .group = "g", .max_retry = 1, .process_at_ms = 5, .timeout_ms = 7};
    asynq_task_options merged = task_options_merge(&own, NULL);
    ck_assert_mem_eq(&merged, &own, sizeof own);
    merged = task_options_merge(&own, &(asynq_task_options){.queue = "b", .max_retry = ASYNQ_NONE, .process_in_ms = 6});
    ck_assert_str_eq(merged.queue, "b");
    ck_assert_str_eq(merged.group, "g");
    ck_assert_int_eq(merged.max_retry, ASYNQ_NONE);
    ck_assert_int_eq(merged.process_at_ms, 0); /* one spelling replaces the other */
    ck_assert_int_eq(merged.process_in_ms, 6);
    ck_assert_int_eq(merged.timeout_ms, 7);
}
END_TEST

Suite *suite_plan(void)
{
    const TTest *const list[] = {every_option_has_a_row,
                                 merging,
                                 refusals,
                                 more_than_redis_takes,
                                 no_limit_at_all,
                                 none_overrides,
                                 later_than_now,
                                 durations_are_never_rounded_down,
                                 the_ends_of_time,
                                 NULL};
    return suite_of("plan", list);
}
