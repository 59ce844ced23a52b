#include "unit.h"

#include "pg/untold_end.h"

#include <string.h>

#define S(seconds) ((seconds)*1000LL)

enum { STARTED_S = 1700000000 };

/* What is known of an attempt and of its task, and what follows from it. */
typedef struct untold_case {
    int64_t number, next;
    bool is_gone, is_unreadable;
    asynq_state state;
    int32_t retried;
    int64_t failed_s, completed_s;
    const char *outcome, *error_class; /* NULL: not known yet, none */
    bool has_its_error;
} untold_case;

static const untold_case cases[] = {
    {.number = 1, .state = ASYNQ_STATE_COMPLETED, .completed_s = STARTED_S, .outcome = "completed"},
    {.number = 3, .retried = 2, .state = ASYNQ_STATE_COMPLETED, .completed_s = STARTED_S + 9, .outcome = "completed"},
    /* A later attempt completed it. */
    {.number = 1,
     .retried = 1,
     .state = ASYNQ_STATE_COMPLETED,
     .completed_s = STARTED_S + 9,
     .failed_s = STARTED_S + 1,
     .outcome = "retried",
     .has_its_error = true},
    {.number = 1,
     .retried = 2,
     .state = ASYNQ_STATE_COMPLETED,
     .completed_s = STARTED_S + 9,
     .failed_s = STARTED_S + 1,
     .outcome = "retried",
     .error_class = "instance"},
    {.number = 1, .next = 1, .state = ASYNQ_STATE_COMPLETED, .completed_s = STARTED_S + 9},
    /* A task that had the same id before. */
    {.number = 1, .state = ASYNQ_STATE_COMPLETED, .completed_s = STARTED_S - 1},
    {.number = 1, .retried = 1, .state = ASYNQ_STATE_RETRY, .failed_s = STARTED_S - 1},
    {.number = 1, .state = ASYNQ_STATE_ARCHIVED, .failed_s = STARTED_S - 1},
    {.number = 1, .state = ASYNQ_STATE_ARCHIVED},
    {.number = 1,
     .state = ASYNQ_STATE_ARCHIVED,
     .failed_s = STARTED_S + 2,
     .outcome = "archived",
     .has_its_error = true},
    {.number = 1,
     .retried = 1,
     .state = ASYNQ_STATE_RETRY,
     .failed_s = STARTED_S,
     .outcome = "retried",
     .has_its_error = true},
    {.number = 1,
     .retried = 1,
     .state = ASYNQ_STATE_ACTIVE,
     .failed_s = STARTED_S,
     .outcome = "retried",
     .has_its_error = true},
    {.number = 2,
     .retried = 3,
     .state = ASYNQ_STATE_PENDING,
     .failed_s = STARTED_S,
     .outcome = "retried",
     .error_class = "instance"},
    {.number = 1, .state = ASYNQ_STATE_RETRY, .outcome = "snoozed", .error_class = "instance"},
    {.number = 1, .state = ASYNQ_STATE_ACTIVE},
    {.number = 1, .state = ASYNQ_STATE_PENDING},
    {.number = 1, .is_unreadable = true, .state = ASYNQ_STATE_ARCHIVED},
    {.number = 1, .is_gone = true, .outcome = "unknown", .error_class = "gone"},
    {.number = 1, .next = 2, .is_gone = true, .outcome = "retried", .error_class = "instance"},
    {.number = 1, .next = 1, .is_gone = true},
    {.number = 2, .next = 1, .is_gone = true},
};

static void expect_end(const untold_case *c)
{
    const untold_attempt attempt = {c->number, S(STARTED_S) + 700, c->next};
    const asynq_task_info task = {.state = c->state,
                                  .is_readable = !c->is_unreadable,
                                  .retried = c->retried,
                                  .last_error = "its error",
                                  .last_failed_at_ms = S(c->failed_s),
                                  .completed_at_ms = S(c->completed_s)};
    untold_end end = untold_end_of(&attempt, c->is_gone ? NULL : &task);
    ck_assert_pstr_eq(end.outcome, c->outcome);
    ck_assert_pstr_eq(end.error_class, c->error_class);
    ck_assert(c->has_its_error == (end.error && strcmp(end.error, "its error") == 0));
    ck_assert(!c->outcome || strcmp(c->outcome, "completed") == 0 || end.error);
}

START_TEST(ends_that_follow)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_end(&cases[i]);
}
END_TEST

Suite *suite_untold(void)
{
    const TTest *const list[] = {ends_that_follow, NULL};
    return suite_of("ends that nobody told", list);
}
