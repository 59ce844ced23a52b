/* Prints all archived tasks that failed with a full disk, and runs them again. */
#include <asynq/inspector.h>
#include <stdio.h>

static bool print(const asynq_task_info *task, void *arg)
{
    (void)arg;
    printf("%s: %s\n", task->id, task->last_error);
    return true; /* false would stop the search */
}

static bool show_progress(int64_t done, int64_t total, void *arg)
{
    (void)arg;
    fprintf(stderr, "%lld of about %lld\n", (long long)done, (long long)total);
    return true;
}

int run_again(asynq_inspector *inspector, const char *state, asynq_error *error)
{
    asynq_task_set set = {.queue = "default"};
    asynq_task_filter filter = {.error = "disk full"};
    asynq_walk_options options = {.filter = &filter, .progress = show_progress};
    asynq_act_result result;
    if (!asynq_state_from_name(state, &set.state)) /* "archived" */
        return ASYNQ_E_INVALID;
    asynq_inspector_set_timeout(inspector, ASYNQ_MINUTES(1));
    if (asynq_inspector_each(inspector, &set, &options, print, NULL, error) ||
        asynq_inspector_act_all(inspector, ASYNQ_ACTION_RUN, &set, &options, &result, error))
        return error->code;
    printf("%lld tasks are pending again\n", (long long)result.done);
    return 0;
}
