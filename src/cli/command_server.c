/* Servers and groups. */
#include "cli/commands.h"

#include "base/buf.h"

#include <inttypes.h>

/* ---- servers ---- */

static json_t *json_of_server(const asynq_server_info *server)
{
    json_t *queues = json_object(), *workers = json_array();
    for (size_t i = 0; i < server->queue_count; i++)
        json_object_set_new(queues, server->queues[i].name, json_integer(server->queues[i].priority));
    for (size_t i = 0; i < server->worker_count; i++) {
        const asynq_worker_info *worker = &server->workers[i];
        json_array_append_new(
            workers,
            json_pack("{ss ss ss so so so so ss}", "task_id", worker->task_id, "type", worker->task_type, "queue",
                      worker->queue, "payload", cli_json_bytes(worker->payload, worker->payload_length), "started_at",
                      cli_json_time(worker->started_at_ms), "deadline", cli_json_time(worker->deadline_ms), "progress",
                      cli_json_fraction(worker->progress), "progress_text", worker->progress_text));
    }
    return json_pack("{ss ss si ss si si sb so so so}", "id", server->id, "host", server->host, "pid", server->pid,
                     "status", server->status, "concurrency", server->concurrency, "active_workers",
                     server->active_workers, "strict_priority", server->strict_priority, "started_at",
                     cli_json_time(server->started_at_ms), "queues", queues, "workers", workers);
}

static void add_server(cli_table *table, const asynq_server_info *server)
{
    char age[32];
    buf queues;
    buf_init(&queues, 0);
    for (size_t i = 0; i < server->queue_count; i++)
        buf_append_format(&queues, "%s%s:%" PRId32, i ? " " : "", server->queues[i].name, server->queues[i].priority);
    cli_table_add(table, server->host);
    cli_table_add_number(table, server->pid);
    cli_table_add(table, server->status);
    cli_table_addf(table, "%" PRId32 "/%" PRId32, server->active_workers, server->concurrency);
    cli_table_add(table, queues.data ? queues.data : "");
    cli_table_add(table, cli_format_duration(cli_now_ms() - server->started_at_ms, age));
    buf_clear(&queues);
}

int run_server_ls(cli_run *cli)
{
    static const char *const titles[] = {"HOST", ">PID", "STATE", ">WORKERS", "QUEUES", ">UP FOR", NULL};
    asynq_error error;
    asynq_server_list list;
    if (asynq_inspector_servers(cli->inspector, &list, &error))
        return cli_fail(&error);
    int status = CLI_OK;
    if (cli->as_json) {
        json_t *rows = json_array();
        for (size_t i = 0; i < list.count; i++)
            json_array_append_new(rows, json_of_server(&list.servers[i]));
        status = cli_print_json(rows);
    } else if (!list.count) {
        fputs("no server runs\n", stderr);
    } else {
        cli_table *table = cli_table_new(titles);
        for (size_t i = 0; i < list.count; i++)
            add_server(table, &list.servers[i]);
        cli_table_print(cli, table);
    }
    asynq_server_list_free(&list);
    return status;
}

/* ---- worker pools ---- */

int run_pool_restart(cli_run *cli)
{
    asynq_error error;
    buf message;
    int heard;
    buf_init(&message, 0);
    buf_append_format(&message, "restart-pool %s", cli->arguments[0]);
    int status = asynq_inspector_tell(cli->inspector, message.data ? message.data : "", &heard, &error);
    buf_clear(&message);
    if (status)
        return cli_fail(&error);
    if (cli->as_json)
        return cli_print_json(json_pack("{si}", "heard", heard));
    cli_say(heard ? stdout : stderr,
            heard ? "%d servers heard that pool \"%s\" is to be restarted"
                  : "%d servers heard that pool \"%s\" is to be restarted; does an asynqd run?",
            heard, cli->arguments[0]);
    return heard ? CLI_OK : CLI_FAILED;
}

/* ---- groups ---- */

int run_group_ls(cli_run *cli)
{
    static const char *const titles[] = {"GROUP", ">TASKS", NULL};
    asynq_error error;
    asynq_group_list list;
    if (asynq_inspector_groups(cli->inspector, cli_queue_of(cli), &list, &error))
        return cli_fail(&error);
    int status = CLI_OK;
    if (cli->as_json) {
        json_t *rows = json_array();
        for (size_t i = 0; i < list.count; i++)
            json_array_append_new(
                rows, json_pack("{ss sI}", "group", list.groups[i].name, "size", (json_int_t)list.groups[i].size));
        status = cli_print_json(rows);
    } else if (!list.count) {
        cli_say(stderr, "queue \"%s\" has no groups", cli_queue_of(cli));
    } else {
        cli_table *table = cli_table_new(titles);
        for (size_t i = 0; i < list.count; i++) {
            cli_table_add(table, list.groups[i].name);
            cli_table_add_number(table, list.groups[i].size);
        }
        cli_table_print(cli, table);
    }
    asynq_group_list_free(&list);
    return status;
}
