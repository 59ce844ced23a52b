/* See untold_end.h. */
#include "pg/untold_end.h"

#include "base/clock.h"

#include <stddef.h>

#define UNTOLD "the asynqd that ran it has ended, and did not tell how it went; "

static const untold_end not_yet;

/* Redis counts in whole seconds. */
static bool is_after(int64_t at_ms, const untold_attempt *attempt)
{
    return at_ms / MS_PER_SECOND >= attempt->started_at_ms / MS_PER_SECOND;
}

static untold_end failed(const untold_attempt *attempt, const asynq_task_info *task, const char *outcome)
{
    if (is_after(task->last_failed_at_ms, attempt))
        return (untold_end){.outcome = outcome, .error = task->last_error, .finished_at_ms = task->last_failed_at_ms};
    return not_yet; /* of a task that had the same id before, for example */
}

/* It is not the last one that failed, whose error Redis has. */
static untold_end failed_before(void)
{
    return (untold_end){.outcome = "retried",
                        .error_class = "instance",
                        .error = UNTOLD "it failed, as the task was tried again and Redis has counted it"};
}

/* No failure has been counted since it began. */
static untold_end not_counted(const untold_attempt *attempt, const asynq_task_info *task)
{
    if (task->state == ASYNQ_STATE_COMPLETED && is_after(task->completed_at_ms, attempt))
        return (untold_end){.outcome = "completed", .finished_at_ms = task->completed_at_ms};
    if (task->state == ASYNQ_STATE_ARCHIVED)
        return failed(attempt, task, "archived");
    if (task->state == ASYNQ_STATE_RETRY)
        return (untold_end){
            .outcome = "snoozed", .error_class = "instance", .error = UNTOLD "it is tried again, and has not failed"};
    return not_yet; /* its lease is not over yet, or it was requeued, or somebody runs it */
}

static untold_end gone(void)
{
    return (untold_end){.outcome = "unknown",
                        .error_class = "gone",
                        .error = UNTOLD
                        "Redis does not have the task any more: it was done and not kept, dropped or deleted"};
}

untold_end untold_end_of(const untold_attempt *attempt, const asynq_task_info *task)
{
    bool is_last_failure = task && task->is_readable && task->retried == attempt->number;
    if (is_last_failure)
        return failed(attempt, task, "retried");
    if (attempt->next > attempt->number)
        return failed_before();
    if (attempt->next)
        return not_yet; /* it did not fail, and was tried again: there are several ways to that */
    if (!task)
        return gone();
    if (!task->is_readable)
        return not_yet;
    return task->retried > attempt->number ? failed_before() : not_counted(attempt, task);
}
