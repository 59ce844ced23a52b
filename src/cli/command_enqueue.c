/* Creating a task by hand. */
#include "cli/commands.h"

#include "base/buf.h"
#include "base/saturate.h"
#include "client/task_option.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The flag's text, or all of standard input for "-". */
static int enqueue_read_payload(const char *text, buf *payload)
{
    buf_init(payload, 0);
    if (strcmp(text, "-") != 0) {
        buf_append_text(payload, text);
        return CLI_OK;
    }
    for (char *room; (room = buf_reserve(payload, 65536));) {
        ssize_t length = read(STDIN_FILENO, room, 65536);
        if (length < 0)
            return cli_complain(CLI_FAILED, "standard input cannot be read");
        if (length == 0)
            return CLI_OK;
        payload->length += (size_t)length;
    }
    return cli_complain(CLI_FAILED, "out of memory");
}

static asynq_task_options options_of(const cli_run *cli)
{
    asynq_task_options options = {0};
    for (const task_option *row = task_options; row < task_options + TASK_OPTIONS; row++) {
        if (!cli_given(cli, row->flag))
            continue;
        if (row->kind == TASK_OPTION_TEXT)
            task_option_set_text(row, &options, cli_text(cli, row->flag));
        else
            task_option_set_number(row, &options, cli_number(cli, row->flag));
    }
    return options;
}

static int replicas_of(const cli_run *cli)
{
    return cli_given(cli, "replicas") ? (int)clamp(cli_number(cli, "replicas"), 0, INT_MAX) : 0;
}

static int enqueue(cli_run *cli, const asynq_task *task)
{
    asynq_error error;
    asynq_enqueued result;
    asynq_client *client =
        asynq_client_new(&(asynq_client_options){.redis = cli_uri(cli),
                                                 .prefix = cli_prefix(cli),
                                                 .replicas = replicas_of(cli),
                                                 .fsync = cli_given(cli, "fsync"),
                                                 .replicas_timeout_ms = cli_number(cli, "replicas-timeout"),
                                                 .timeout_ms = cli_number(cli, "timeout")},
                         &error);
    if (!client)
        return cli_fail(&error);
    int status = asynq_enqueue(client, task, NULL, &result, &error);
    asynq_client_free(client);
    if (status) {
        task_options_reword(&error, true);
        return cli_fail(&error);
    }
    if (cli->as_json)
        return cli_print_json(json_pack("{ss ss ss so si}", "id", result.id, "queue", cli_queue_of(cli), "state",
                                        asynq_state_name(result.state), "next_process_at",
                                        cli_json_time(result.next_process_at_ms), "replicas", result.replicas));
    cli_say(stdout, "task \"%s\" of queue \"%s\" is %s", result.id, cli_queue_of(cli), asynq_state_name(result.state));
    return CLI_OK;
}

int run_task_enqueue(cli_run *cli)
{
    buf payload;
    int status = enqueue_read_payload(cli_text(cli, "payload"), &payload);
    if (!status)
        status = enqueue(cli, &(asynq_task){
                                  .type = cli_text(cli, "type"),
                                  .payload = payload.data ? payload.data : "",
                                  .payload_length = payload.length,
                                  .options = options_of(cli),
                              });
    buf_clear(&payload);
    return status;
}
