/* All queues at a glance. */
#include "cli/commands.h"

#include <inttypes.h>

static void stats_add_up(asynq_queue_info *sum, const asynq_queue_info *info)
{
    sum->size += info->size;
    sum->active += info->active;
    sum->pending += info->pending;
    sum->scheduled += info->scheduled;
    sum->retry += info->retry;
    sum->archived += info->archived;
    sum->completed += info->completed;
    sum->aggregating += info->aggregating;
    sum->processed += info->processed;
    sum->failed += info->failed;
    sum->memory_bytes += info->memory_bytes;
}

static int print_sum(cli_run *cli, const asynq_queue_info *sum, size_t queues)
{
    char memory[32];
    static const char *const titles[] = {">QUEUES", ">SIZE",     ">ACTIVE",    ">PENDING", ">SCHEDULED",
                                         ">RETRY",  ">ARCHIVED", ">COMPLETED", ">GROUPED", ">DONE TODAY",
                                         ">FAILED", ">MEMORY",   NULL};
    if (cli->as_json)
        return cli_print_json(json_pack("{sI sI sI sI sI sI sI sI sI sI sI sI}", "queues", (json_int_t)queues, "size",
                                        (json_int_t)sum->size, "active", (json_int_t)sum->active, "pending",
                                        (json_int_t)sum->pending, "scheduled", (json_int_t)sum->scheduled, "retry",
                                        (json_int_t)sum->retry, "archived", (json_int_t)sum->archived, "completed",
                                        (json_int_t)sum->completed, "aggregating", (json_int_t)sum->aggregating,
                                        "processed", (json_int_t)sum->processed, "failed", (json_int_t)sum->failed,
                                        "memory_bytes", (json_int_t)sum->memory_bytes));
    const int64_t numbers[] = {(int64_t)queues,  sum->size,      sum->active,   sum->pending,
                               sum->scheduled,   sum->retry,     sum->archived, sum->completed,
                               sum->aggregating, sum->processed, sum->failed};
    cli_table *table = cli_table_new(titles);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cli_table_add_number(table, numbers[i]);
    cli_table_add(table, cli_format_bytes(sum->memory_bytes, memory));
    cli_table_print(cli, table);
    return CLI_OK;
}

int run_stats(cli_run *cli)
{
    asynq_error error;
    asynq_name_list queues;
    asynq_queue_info sum = {0};
    if (asynq_inspector_queues(cli->inspector, &queues, &error))
        return cli_fail(&error);
    for (size_t i = 0; i < queues.count; i++) {
        asynq_queue_info info;
        int status = asynq_inspector_queue(cli->inspector, queues.names[i], &info, &error);
        if (status && status != ASYNQ_E_QUEUE_NOT_FOUND) {
            asynq_name_list_free(&queues);
            return cli_fail(&error);
        }
        if (!status)
            stats_add_up(&sum, &info);
    }
    size_t count = queues.count;
    asynq_name_list_free(&queues);
    return print_sum(cli, &sum, count);
}

int run_metrics(cli_run *cli)
{
    asynq_error error;
    asynq_text metrics;
    if (asynq_inspector_metrics(cli->inspector, &metrics, &error))
        return cli_fail(&error);
    bool is_written = cli_print_raw(metrics.text, metrics.length) && fflush(stdout) == 0;
    asynq_text_free(&metrics);
    return is_written ? CLI_OK : cli_complain(CLI_FAILED, "the output cannot be written");
}
