/* Finding what is broken, repairing it, and what was set aside then. */
#include "cli/commands.h"

#include <inttypes.h>
#include <string.h>

/* ---- fsck ---- */

typedef struct checker {
    const cli_run *cli;
    cli_progress progress;
    int status;
} checker;

static json_t *json_of_finding(const asynq_finding *finding)
{
    return json_pack("{ss so so so so so}", "fault", asynq_fault_name(finding->fault), "queue",
                     cli_json_text(finding->queue), "task_id", cli_json_text(finding->task_id), "key",
                     cli_json_text(finding->key), "detail", cli_json_text(finding->detail), "repaired",
                     cli_json_text(finding->repaired));
}

static bool print_finding(const asynq_finding *finding, void *arg)
{
    checker *c = arg;
    if (c->cli->as_json) {
        c->status = cli_print_json_line(json_of_finding(finding));
        return !c->status;
    }
    cli_end_progress(&c->progress);
    bool is_repaired = *finding->repaired != '\0';
    cli_say(stdout, "%-21s %s: %s%s%s%s", asynq_fault_name(finding->fault), finding->key, finding->detail,
            is_repaired ? " (" : "", finding->repaired, is_repaired ? ")" : "");
    return true;
}

static int fsck_print_summary(const cli_run *cli, const asynq_fsck_result *result, bool is_complete)
{
    if (cli->as_json)
        return cli_print_json_line(json_pack("{sI sI sI sI}", "tasks", (json_int_t)result->tasks, "keys",
                                             (json_int_t)result->keys, "findings", (json_int_t)result->findings,
                                             "repaired", (json_int_t)result->repaired));
    printf("%" PRId64 " tasks and %" PRId64 " keys looked at: ", result->tasks, result->keys);
    if (!result->findings)
        cli_say(stdout, "%s", is_complete ? "all is well" : "no faults so far");
    else
        cli_say(stdout, "%" PRId64 " %s, %" PRId64 " of them repaired", result->findings,
                result->findings == 1 ? "fault" : "faults", result->repaired);
    return CLI_OK;
}

int run_fsck(cli_run *cli)
{
    asynq_error error;
    asynq_fsck_result result;
    checker c = {.cli = cli, .progress.what = "checking"};
    int failed = asynq_inspector_fsck(cli->inspector,
                                      &(asynq_fsck_options){
                                          .queue = cli_text(cli, "queue"),
                                          .repair = cli_given(cli, "repair"),
                                          .progress = cli_show_progress,
                                          .progress_arg = &c.progress,
                                      },
                                      print_finding, &c, &result, &error);
    cli_end_progress(&c.progress);
    if (!c.status && (!failed || result.keys))
        c.status = fsck_print_summary(cli, &result, !failed && !cli_is_interrupted());
    if (failed)
        return cli_fail(&error);
    if (c.status)
        return c.status;
    if (cli_is_interrupted())
        return cli_complain(CLI_INTERRUPTED, "stopped before the end");
    return !result.findings ? CLI_OK : result.repaired == result.findings ? CLI_REPAIRED : CLI_FAULTS;
}

/* ---- the quarantine ---- */

typedef struct quarantine_list {
    const cli_run *cli;
    const char *queue;
    cli_table *table;
    json_t *rows;
    int64_t count;
    int status;
} quarantine_list;

static json_t *fsck_json_of_entry(const quarantine_list *list, const asynq_quarantined *entry)
{
    return json_pack("{so so so so so so}", "queue", cli_json_text(list->queue), "name", cli_json_text(entry->name),
                     "since", cli_json_time(entry->at_ms), "reason", cli_json_text(entry->reason), "message",
                     cli_json_bytes(entry->message, entry->message_length), "dump",
                     cli_json_bytes(entry->dump, entry->dump_length));
}

static bool list_entry(const asynq_quarantined *entry, void *arg)
{
    quarantine_list *list = arg;
    char text[32];
    list->count++;
    if (list->rows) {
        json_array_append_new(list->rows, fsck_json_of_entry(list, entry));
        return true;
    }
    cli_table_add(list->table, list->queue);
    cli_table_add(list->table, entry->name);
    cli_table_add(list->table, cli_format_time(entry->at_ms, text));
    cli_table_add(list->table, entry->reason);
    cli_table_add(list->table, cli_format_bytes((int64_t)entry->dump_length, text));
    return true;
}

/* The given queue, or all that are registered. */
static int each_queue(quarantine_list *list, asynq_quarantined_cb visit)
{
    asynq_error error;
    asynq_name_list queues = {0};
    const char *only = cli_text(list->cli, "queue");
    if (!only && asynq_inspector_queues(list->cli->inspector, &queues, &error))
        return cli_fail(&error);
    int status = CLI_OK;
    for (size_t i = 0; i < (only ? 1 : queues.count) && !status && !list->status && !cli_is_interrupted(); i++) {
        list->queue = only ? only : queues.names[i];
        if (asynq_inspector_quarantine(list->cli->inspector, list->queue, visit, list, &error))
            status = cli_fail(&error);
    }
    asynq_name_list_free(&queues);
    return status ? status : list->status;
}

int run_quarantine_ls(cli_run *cli)
{
    static const char *const titles[] = {"QUEUE", "NAME", "SINCE", "REASON", ">SIZE", NULL};
    quarantine_list list = {.cli = cli};
    if (cli->as_json)
        list.rows = json_array();
    else
        list.table = cli_table_new(titles);
    int status = each_queue(&list, list_entry);
    if (cli->as_json)
        return status ? status : cli_print_json(list.rows);
    cli_table_print(cli, list.table);
    if (!status && !list.count)
        fputs("nothing is in quarantine\n", stderr);
    return status;
}

static bool export_entry(const asynq_quarantined *entry, void *arg)
{
    quarantine_list *list = arg;
    list->count++;
    list->status = cli_print_json_line(fsck_json_of_entry(list, entry));
    return !list->status;
}

int run_quarantine_export(cli_run *cli)
{
    quarantine_list list = {.cli = cli};
    int status = each_queue(&list, export_entry);
    fprintf(stderr, "%" PRId64 " entries exported\n", list.count);
    return status;
}

int run_quarantine_rm(cli_run *cli)
{
    asynq_error error;
    if (!cli_confirm(cli, "delete %d entries for good", cli->argument_count))
        return CLI_DECLINED;
    for (int i = 0; i < cli->argument_count; i++)
        if (asynq_inspector_quarantine_delete(cli->inspector, cli_queue_of(cli), cli->arguments[i], &error))
            return cli_fail(&error);
    return CLI_OK;
}
