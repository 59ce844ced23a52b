/* Acting on tasks: run, archive, delete, cancel, update. */
#include "cli/commands.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

/* action, what is told of it */
static const struct {
    const char *doing, *done;
} words[] = {
    [ASYNQ_ACTION_RUN] = {"running", "set to run"},
    [ASYNQ_ACTION_ARCHIVE] = {"archiving", "archived"},
    [ASYNQ_ACTION_DELETE] = {"deleting", "deleted"},
};

/* ---- by id ---- */

/* The arguments and --id. */
static int collect_ids(const cli_run *cli, const char **ids)
{
    int count = 0;
    for (; count < cli->argument_count; count++)
        ids[count] = cli->arguments[count];
    if (cli_given(cli, "id"))
        ids[count++] = cli_text(cli, "id");
    return count;
}

static int steer_act(cli_run *cli, asynq_action action)
{
    static const char *ids[CLI_ARGUMENTS_MAX + 1];
    asynq_error error;
    int status = CLI_OK, count = collect_ids(cli, ids);
    if (!count)
        return cli_complain(CLI_USAGE, "give the ids of the tasks");
    if (action == ASYNQ_ACTION_DELETE &&
        !cli_confirm(cli, "delete %d task%s of queue \"%s\"", count, count == 1 ? "" : "s", cli_queue_of(cli)))
        return CLI_DECLINED;
    for (int i = 0; i < count; i++)
        if (asynq_inspector_act(cli->inspector, action, cli_queue_of(cli), ids[i], &error))
            status = cli_fail(&error);
        else if (!cli->as_json)
            cli_say(stdout, "task \"%s\" is %s", ids[i], words[action].done);
    return status;
}

int run_task_run(cli_run *cli)
{
    return steer_act(cli, ASYNQ_ACTION_RUN);
}

int run_task_archive(cli_run *cli)
{
    return steer_act(cli, ASYNQ_ACTION_ARCHIVE);
}

int run_task_delete(cli_run *cli)
{
    return steer_act(cli, ASYNQ_ACTION_DELETE);
}

int run_task_cancel(cli_run *cli)
{
    asynq_error error;
    int status = CLI_OK;
    for (int i = 0; i < cli->argument_count; i++)
        if (asynq_inspector_cancel(cli->inspector, cli->arguments[i], &error))
            status = cli_fail(&error);
        else if (!cli->as_json)
            cli_say(stdout, "asked the servers to cancel task \"%s\"", cli->arguments[i]);
    return status;
}

int run_task_update(cli_run *cli)
{
    asynq_error error;
    const char *payload = cli_text(cli, "payload");
    if (asynq_inspector_update_payload(cli->inspector, cli_queue_of(cli), cli->arguments[0], payload, strlen(payload),
                                       &error))
        return cli_fail(&error);
    if (!cli->as_json)
        cli_say(stdout, "task \"%s\" has the new payload", cli->arguments[0]);
    return CLI_OK;
}

/* ---- by state and filter ---- */

static bool has_filter(const cli_run *cli)
{
    static const char *const names[] = {"type", "id", "error", "payload", "from", "until"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (cli_given(cli, names[i]))
            return true;
    return false;
}

enum { ARCHIVE_KEEPS = 9999 };

/* How many tasks the set has, as far as it can be told. */
static int64_t size_of(const asynq_queue_info *info, const asynq_task_set *set)
{
    const int64_t sizes[] = {
        [ASYNQ_STATE_ACTIVE] = info->active,           [ASYNQ_STATE_PENDING] = info->pending,
        [ASYNQ_STATE_SCHEDULED] = info->scheduled,     [ASYNQ_STATE_RETRY] = info->retry,
        [ASYNQ_STATE_ARCHIVED] = info->archived,       [ASYNQ_STATE_COMPLETED] = info->completed,
        [ASYNQ_STATE_AGGREGATING] = info->aggregating,
    };
    return sizes[set->state];
}

/* Asks before tasks are lost: deleted, or dropped from an archive that they overfill. */
static bool agreed(const cli_run *cli, asynq_action action, const asynq_task_set *set, const asynq_queue_info *info)
{
    const char *which = has_filter(cli) ? "those that meet the filter of" : "all of";
    int64_t size = size_of(info, set), surplus = info->archived + size - ARCHIVE_KEEPS;
    if (action == ASYNQ_ACTION_DELETE)
        return cli_confirm(cli, "delete %s %" PRId64 " %s tasks of queue \"%s\"", which, size,
                           asynq_state_name(set->state), set->queue);
    if (action == ASYNQ_ACTION_ARCHIVE && surplus > 0)
        return cli_confirm(
            cli, "archive %s %" PRId64 " %s tasks of queue \"%s\", which keeps %d: up to %" PRId64 " will be deleted",
            which, size, asynq_state_name(set->state), set->queue, ARCHIVE_KEEPS, surplus);
    return true;
}

static int steer_tell(const cli_run *cli, asynq_action action, const asynq_act_result *result, int64_t passed_over)
{
    if (cli->as_json)
        return cli_print_json(json_pack("{sI sI sI sI}", words[action].done, (json_int_t)result->done, "dropped",
                                        (json_int_t)result->dropped, "failed", (json_int_t)result->failed,
                                        "passed_over", (json_int_t)passed_over));
    printf("%" PRId64 " tasks %s", result->done, words[action].done);
    if (result->dropped)
        printf(", %" PRId64 " deleted because an archive keeps %d", result->dropped, ARCHIVE_KEEPS);
    if (result->failed)
        printf(", %" PRId64 " could not be", result->failed);
    if (passed_over)
        printf(", %" PRId64 " passed over, as it is not known since when they are there", passed_over);
    putchar('\n');
    return CLI_OK;
}

static int act_all(cli_run *cli, asynq_action action)
{
    asynq_error error;
    asynq_act_result result;
    asynq_queue_info info;
    asynq_task_set set = cli_set_of(cli);
    asynq_task_filter filter = cli_filter_of(cli);
    int64_t passed_over = 0;
    cli_progress progress = {.what = words[action].doing};
    if (asynq_inspector_queue(cli->inspector, set.queue, &info, &error))
        return cli_fail(&error);
    if (!agreed(cli, action, &set, &info))
        return CLI_DECLINED;
    int status = asynq_inspector_act_all(cli->inspector, action, &set,
                                         &(asynq_walk_options){.filter = has_filter(cli) ? &filter : NULL,
                                                               .progress = cli_show_progress,
                                                               .progress_arg = &progress,
                                                               .passed_over = &passed_over},
                                         &result, &error);
    cli_end_progress(&progress);
    if (!status || result.done)
        steer_tell(cli, action, &result, passed_over);
    if (status)
        return cli_fail(&error);
    return cli_is_interrupted() ? cli_complain(CLI_INTERRUPTED, "stopped before the end") : CLI_OK;
}

int run_task_runall(cli_run *cli)
{
    return act_all(cli, ASYNQ_ACTION_RUN);
}

int run_task_archiveall(cli_run *cli)
{
    return act_all(cli, ASYNQ_ACTION_ARCHIVE);
}

int run_task_deleteall(cli_run *cli)
{
    return act_all(cli, ASYNQ_ACTION_DELETE);
}
