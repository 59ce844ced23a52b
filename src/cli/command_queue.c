/* Queues. */
#include "cli/commands.h"

#include <inttypes.h>
#include <string.h>

static json_t *json_of_queue(const char *name, const asynq_queue_info *info)
{
    return json_pack("{so sb sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI so}", "queue", cli_json_text(name),
                     "paused", info->paused, "size", (json_int_t)info->size, "pending", (json_int_t)info->pending,
                     "active", (json_int_t)info->active, "scheduled", (json_int_t)info->scheduled, "retry",
                     (json_int_t)info->retry, "archived", (json_int_t)info->archived, "completed",
                     (json_int_t)info->completed, "aggregating", (json_int_t)info->aggregating, "in_aggregation",
                     (json_int_t)info->in_aggregation, "groups", (json_int_t)info->groups, "processed",
                     (json_int_t)info->processed, "failed", (json_int_t)info->failed, "processed_total",
                     (json_int_t)info->processed_total, "failed_total", (json_int_t)info->failed_total, "latency_ms",
                     (json_int_t)info->latency_ms, "memory_bytes", (json_int_t)info->memory_bytes, "at",
                     cli_json_time(info->at_ms));
}

static void add_row(cli_table *table, const char *name, const asynq_queue_info *info)
{
    char latency[32], memory[32];
    const int64_t numbers[] = {info->size,  info->active,   info->pending,   info->scheduled,
                               info->retry, info->archived, info->completed, info->aggregating};
    cli_table_add(table, name);
    cli_table_add(table, info->paused ? "paused" : "runs");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cli_table_add_number(table, numbers[i]);
    cli_table_add(table, cli_format_duration(info->latency_ms, latency));
    cli_table_add(table, cli_format_bytes(info->memory_bytes, memory));
    cli_table_add_number(table, info->processed);
    cli_table_add_number(table, info->failed);
}

static cli_table *queue_table(void)
{
    static const char *const titles[] = {"QUEUE",      "STATE",   ">SIZE",       ">ACTIVE",    ">PENDING",
                                         ">SCHEDULED", ">RETRY",  ">ARCHIVED",   ">COMPLETED", ">GROUPED",
                                         ">LATENCY",   ">MEMORY", ">DONE TODAY", ">FAILED",    NULL};
    return cli_table_new(titles);
}

/* A queue that is deleted while the list is made is left out. */
static int list_queues(cli_run *cli, const asynq_name_list *queues, json_t *rows, cli_table *table)
{
    asynq_error error;
    for (size_t i = 0; i < queues->count; i++) {
        asynq_queue_info info;
        int status = asynq_inspector_queue(cli->inspector, queues->names[i], &info, &error);
        if (status == ASYNQ_E_QUEUE_NOT_FOUND)
            continue;
        if (status)
            return cli_fail(&error);
        if (cli->as_json)
            json_array_append_new(rows, json_of_queue(queues->names[i], &info));
        else
            add_row(table, queues->names[i], &info);
    }
    return CLI_OK;
}

int run_queue_ls(cli_run *cli)
{
    asynq_error error;
    asynq_name_list queues;
    if (asynq_inspector_queues(cli->inspector, &queues, &error))
        return cli_fail(&error);
    json_t *rows = cli->as_json ? json_array() : NULL;
    cli_table *table = cli->as_json ? NULL : queue_table();
    int status = list_queues(cli, &queues, rows, table);
    asynq_name_list_free(&queues);
    if (status)
        return status;
    if (cli->as_json)
        return cli_print_json(rows);
    cli_table_print(cli, table);
    return CLI_OK;
}

static void queue_describe_queue(const char *name, const asynq_queue_info *info)
{
    char text[32];
    const struct {
        const char *title;
        int64_t number;
    } rows[] = {
        {"size", info->size},
        {"active", info->active},
        {"pending", info->pending},
        {"scheduled", info->scheduled},
        {"retry", info->retry},
        {"archived", info->archived},
        {"completed", info->completed},
        {"in groups", info->aggregating},
        {"groups", info->groups},
        {"aggregated now", info->in_aggregation},
        {"done today", info->processed},
        {"failed today", info->failed},
        {"done in all", info->processed_total},
        {"failed in all", info->failed_total},
    };
    cli_say(stdout, "%-14s %s", "queue", name);
    cli_say(stdout, "%-14s %s", "state", info->paused ? "paused" : "runs");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cli_say(stdout, "%-14s %" PRId64 "", rows[i].title, rows[i].number);
    if (info->processed)
        cli_say(stdout, "%-14s %.2f %%", "error rate", 100.0 * (double)info->failed / (double)info->processed);
    cli_say(stdout, "%-14s %s", "latency", cli_format_duration(info->latency_ms, text));
    cli_say(stdout, "%-14s %s", "memory", cli_format_bytes(info->memory_bytes, text));
}

int run_queue_inspect(cli_run *cli)
{
    asynq_error error;
    json_t *rows = json_array();
    int status = CLI_OK;
    for (int i = 0; i < cli->argument_count; i++) {
        asynq_queue_info info;
        if (asynq_inspector_queue(cli->inspector, cli->arguments[i], &info, &error)) {
            status = cli_fail(&error);
        } else if (cli->as_json) {
            json_array_append_new(rows, json_of_queue(cli->arguments[i], &info));
        } else {
            if (i)
                putchar('\n');
            queue_describe_queue(cli->arguments[i], &info);
        }
    }
    if (cli->as_json) {
        int written = cli_print_json(rows);
        return status ? status : written;
    }
    json_decref(rows);
    return status;
}

/* ---- history ---- */

enum { HISTORY_DEFAULT_DAYS = 10, HISTORY_MAX_DAYS = 90 };

static json_t *json_of_days(const char *name, const asynq_day *days, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{ss sI sI}", "date", days[i].date, "processed",
                                              (json_int_t)days[i].processed, "failed", (json_int_t)days[i].failed));
    return json_pack("{ss so}", "queue", name, "days", list);
}

static void print_days(const cli_run *cli, const char *name, const asynq_day *days, size_t count)
{
    static const char *const titles[] = {"QUEUE", "DATE (UTC)", ">PROCESSED", ">FAILED", ">ERROR RATE", NULL};
    cli_table *table = cli_table_new(titles);
    for (size_t i = 0; i < count; i++) {
        cli_table_add(table, name);
        cli_table_add(table, days[i].date);
        cli_table_add_number(table, days[i].processed);
        cli_table_add_number(table, days[i].failed);
        if (days[i].processed)
            cli_table_addf(table, "%.2f %%", 100.0 * (double)days[i].failed / (double)days[i].processed);
        else
            cli_table_add(table, "-");
    }
    cli_table_print(cli, table);
}

int run_queue_history(cli_run *cli)
{
    asynq_error error;
    asynq_day days[HISTORY_MAX_DAYS];
    size_t count = cli_given(cli, "days") ? (size_t)cli_number(cli, "days") : HISTORY_DEFAULT_DAYS;
    if (count < 1 || count > HISTORY_MAX_DAYS)
        return cli_complain(CLI_USAGE, "--days: Redis keeps %d days; give 1 to %d", HISTORY_MAX_DAYS, HISTORY_MAX_DAYS);
    json_t *rows = json_array();
    int status = CLI_OK;
    for (int i = 0; i < cli->argument_count; i++) {
        if (asynq_inspector_history(cli->inspector, cli->arguments[i], days, count, &error))
            status = cli_fail(&error);
        else if (cli->as_json)
            json_array_append_new(rows, json_of_days(cli->arguments[i], days, count));
        else
            print_days(cli, cli->arguments[i], days, count);
    }
    if (cli->as_json) {
        int written = cli_print_json(rows);
        return status ? status : written;
    }
    json_decref(rows);
    return status;
}

/* ---- pausing ---- */

typedef int (*queue_call)(asynq_inspector *inspector, const char *queue, asynq_error *error);

/* Does it to each queue; the exit status is that of the last that failed. */
static int for_each_queue(cli_run *cli, queue_call call, const char *done)
{
    asynq_error error;
    int status = CLI_OK;
    for (int i = 0; i < cli->argument_count; i++)
        if (call(cli->inspector, cli->arguments[i], &error))
            status = cli_fail(&error);
        else if (!cli->as_json)
            cli_say(stdout, "queue \"%s\" %s", cli->arguments[i], done);
    return status;
}

int run_queue_pause(cli_run *cli)
{
    return for_each_queue(cli, asynq_inspector_pause, "is paused");
}

int run_queue_unpause(cli_run *cli)
{
    return for_each_queue(cli, asynq_inspector_unpause, "runs again");
}

/* ---- deleting ---- */

static int delete_queue(cli_run *cli, const char *queue)
{
    asynq_error error;
    asynq_queue_info info;
    cli_progress progress = {.what = "deleting"};
    bool force = cli_given(cli, "force");
    if (asynq_inspector_queue(cli->inspector, queue, &info, &error))
        return cli_fail(&error);
    if (!cli_confirm(cli, "delete queue \"%s\" with %" PRId64 " tasks", queue, info.size))
        return CLI_DECLINED;
    int status = asynq_inspector_delete_queue(cli->inspector, queue, force, cli_show_progress, &progress, &error);
    cli_end_progress(&progress);
    if (status && cli_is_interrupted())
        return cli_complain(CLI_INTERRUPTED, "%s", error.text);
    if (status == ASYNQ_E_QUEUE_NOT_EMPTY && !force)
        return cli_complain(CLI_FAILED, "%s; --force deletes its tasks, too", error.text);
    if (status)
        return cli_fail(&error);
    if (!cli->as_json)
        cli_say(stdout, "queue \"%s\" is deleted", queue);
    return CLI_OK;
}

int run_queue_rm(cli_run *cli)
{
    int status = CLI_OK;
    for (int i = 0; i < cli->argument_count; i++) {
        int result = delete_queue(cli, cli->arguments[i]);
        status = result ? result : status;
    }
    return status;
}

/* ---- Redis Cluster ---- */

static json_t *json_of_nodes(const char *queue, int slot, const asynq_cluster_node_list *list)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(nodes, json_pack("{ss ss}", "id", list->nodes[i].id, "address", list->nodes[i].address));
    return json_pack("{ss si so}", "queue", queue, "slot", slot, "nodes", nodes);
}

static int find_nodes(cli_run *cli, const char *queue, json_t *rows)
{
    asynq_error error;
    asynq_cluster_node_list list;
    int slot;
    if (asynq_inspector_key_slot(cli->inspector, queue, &slot, &error) ||
        asynq_inspector_cluster_nodes(cli->inspector, queue, &list, &error))
        return cli_fail(&error);
    json_array_append_new(rows, json_of_nodes(queue, slot, &list));
    asynq_cluster_node_list_free(&list);
    return CLI_OK;
}

static void print_nodes(const cli_run *cli, const json_t *rows)
{
    static const char *const titles[] = {"QUEUE", ">SLOT", "NODE", "ADDRESS", NULL};
    cli_table *table = cli_table_new(titles);
    size_t i, k;
    json_t *row, *node;
    json_array_foreach(rows, i, row) {
        json_array_foreach(json_object_get(row, "nodes"), k, node) {
            cli_table_add(table, json_string_value(json_object_get(row, "queue")));
            cli_table_add_number(table, json_integer_value(json_object_get(row, "slot")));
            cli_table_add(table, json_string_value(json_object_get(node, "id")));
            cli_table_add(table, json_string_value(json_object_get(node, "address")));
        }
    }
    cli_table_print(cli, table);
}

int run_queue_nodes(cli_run *cli)
{
    json_t *rows = json_array();
    int status = CLI_OK;
    for (int i = 0; i < cli->argument_count && !status; i++)
        status = find_nodes(cli, cli->arguments[i], rows);
    if (!status && cli->as_json)
        return cli_print_json(rows);
    if (!status)
        print_nodes(cli, rows);
    json_decref(rows);
    return status;
}
