/* Looking at tasks, one by one or page by page. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

const char *cli_queue_of(const cli_run *cli)
{
    return cli_given(cli, "queue") ? cli_text(cli, "queue") : "default";
}

asynq_task_set cli_set_of(const cli_run *cli)
{
    return (asynq_task_set){cli_queue_of(cli), (asynq_state)cli_number(cli, "state"), cli_text(cli, "group")};
}

/* ---- tables: the first columns are the same for all states ---- */

static const char *const titles[][10] = {
    [ASYNQ_STATE_ACTIVE] = {"ID", "TYPE", "PAYLOAD", ">RETRIED", "LEASE ENDS", "PROGRESS", NULL},
    [ASYNQ_STATE_PENDING] = {"ID", "TYPE", "PAYLOAD", ">RETRIED", ">WAITS", NULL},
    [ASYNQ_STATE_SCHEDULED] = {"ID", "TYPE", "PAYLOAD", ">RUNS IN", NULL},
    [ASYNQ_STATE_RETRY] = {"ID", "TYPE", "PAYLOAD", ">RUNS IN", "LAST ERROR", "FAILED AT", ">RETRIED", ">OF", NULL},
    [ASYNQ_STATE_ARCHIVED] = {"ID", "TYPE", "PAYLOAD", "LAST ERROR", "FAILED AT", NULL},
    [ASYNQ_STATE_COMPLETED] = {"ID", "TYPE", "PAYLOAD", "COMPLETED AT", "RESULT", NULL},
    [ASYNQ_STATE_AGGREGATING] = {"ID", "TYPE", "PAYLOAD", "GROUP", "SINCE", NULL},
};

static void add_time(cli_table *table, int64_t at_ms)
{
    char text[32];
    cli_table_add(table, cli_format_time(at_ms, text));
}

static void add_until(cli_table *table, int64_t at_ms)
{
    char text[32];
    cli_table_add(table, at_ms <= cli_now_ms() ? "now" : cli_format_duration(at_ms - cli_now_ms(), text));
}

cli_table *cli_task_table(asynq_state state)
{
    return cli_table_new(titles[state]);
}

void cli_add_task(cli_table *table, const asynq_task_info *task)
{
    char text[32], progress[256];
    cli_table_add(table, task->id);
    cli_table_add(table, task->is_readable ? task->type : "(unreadable)");
    cli_table_add_bytes(table, task->payload, task->payload_length);
    switch (task->state) {
    case ASYNQ_STATE_ACTIVE:
        cli_table_addf(table, "%" PRId32 "/%" PRId32, task->retried, task->max_retry);
        if (task->is_orphaned)
            cli_table_add(table, "orphaned");
        else
            add_time(table, task->lease_ends_at_ms);
        cli_table_add(table, cli_format_progress(task->progress, task->progress_text, progress));
        break;
    case ASYNQ_STATE_PENDING:
        cli_table_addf(table, "%" PRId32 "/%" PRId32, task->retried, task->max_retry);
        cli_table_add(table, cli_format_duration(task->since_ms ? cli_now_ms() - task->since_ms : 0, text));
        break;
    case ASYNQ_STATE_SCHEDULED:
        add_until(table, task->next_process_at_ms);
        break;
    case ASYNQ_STATE_RETRY:
        add_until(table, task->next_process_at_ms);
        cli_table_add(table, task->last_error);
        add_time(table, task->last_failed_at_ms);
        cli_table_add_number(table, task->retried);
        cli_table_add_number(table, task->max_retry);
        break;
    case ASYNQ_STATE_ARCHIVED:
        cli_table_add(table, task->last_error);
        add_time(table, task->last_failed_at_ms);
        break;
    case ASYNQ_STATE_COMPLETED:
        add_time(table, task->completed_at_ms);
        cli_table_add_bytes(table, task->result, task->result_length);
        break;
    case ASYNQ_STATE_AGGREGATING:
        cli_table_add(table, task->group);
        add_time(table, task->since_ms);
        break;
    }
}

int run_task_ls(cli_run *cli)
{
    asynq_error error;
    asynq_task_list list;
    asynq_task_set set = cli_set_of(cli);
    asynq_page page = {cli_number(cli, "page"), cli_number(cli, "size")};
    if (asynq_inspector_list(cli->inspector, &set, &page, &list, &error))
        return cli_fail(&error);
    int status = CLI_OK;
    if (cli->as_json) {
        json_t *rows = json_array();
        for (size_t i = 0; i < list.count; i++)
            json_array_append_new(rows, cli_json_task(&list.tasks[i]));
        status = cli_print_json(rows);
    } else if (!list.count) {
        cli_say(stderr, "queue \"%s\" has no %s tasks%s", set.queue, asynq_state_name(set.state),
                page.number > 1 ? " on this page" : "");
    } else {
        cli_table *table = cli_task_table(set.state);
        for (size_t i = 0; i < list.count; i++)
            cli_add_task(table, &list.tasks[i]);
        cli_table_print(cli, table);
    }
    asynq_task_list_free(&list);
    return status;
}

/* ---- searching ---- */

asynq_task_filter cli_filter_of(const cli_run *cli)
{
    return (asynq_task_filter){
        .type = cli_text(cli, "type"),
        .id = cli_text(cli, "id"),
        .error = cli_text(cli, "error"),
        .payload = cli_text(cli, "payload"),
        .from_ms = cli_number(cli, "from"),
        .until_ms = cli_number(cli, "until"),
    };
}

enum { ROWS_AT_ONCE = 200 };

typedef struct search {
    const cli_run *cli;
    asynq_state state;
    cli_progress progress;
    cli_table *table; /* not yet printed; NULL: none */
    int rows;
    int64_t found, limit, passed_over;
    int status;
} search;

/* There may be a million: a table that is long enough is printed, and another one begins. */
static void print_rows(search *s)
{
    cli_end_progress(&s->progress);
    if (s->table)
        cli_table_print(s->cli, s->table);
    s->table = NULL;
    s->rows = 0;
}

static bool take_found(const asynq_task_info *task, void *arg)
{
    search *s = arg;
    s->found++;
    if (s->cli->as_json) {
        s->status = cli_print_json_line(cli_json_task(task));
        return !s->status && s->found != s->limit;
    }
    if (!s->table)
        s->table = cli_task_table(s->state);
    cli_add_task(s->table, task);
    if (++s->rows == ROWS_AT_ONCE)
        print_rows(s);
    return s->found != s->limit;
}

int run_task_find(cli_run *cli)
{
    asynq_error error;
    asynq_task_set set = cli_set_of(cli);
    asynq_task_filter filter = cli_filter_of(cli);
    search s = {.cli = cli, .state = set.state, .progress.what = "searching", .limit = cli_number(cli, "limit")};
    int status = asynq_inspector_each(cli->inspector, &set,
                                      &(asynq_walk_options){.filter = &filter,
                                                            .progress = cli_show_progress,
                                                            .progress_arg = &s.progress,
                                                            .passed_over = &s.passed_over},
                                      take_found, &s, &error);
    print_rows(&s);
    if (status)
        return cli_fail(&error);
    if (cli_is_interrupted())
        return cli_complain(CLI_INTERRUPTED, "stopped; %" PRId64 " tasks found so far", s.found);
    if (!cli->as_json)
        fprintf(stderr, "%" PRId64 " tasks found\n", s.found);
    if (s.passed_over)
        fprintf(stderr, "%" PRId64 " tasks passed over, as it is not known since when they are there\n", s.passed_over);
    return s.status;
}

/* ---- one task ---- */

static void describe_line(FILE *out, const char *title, const char *text)
{
    if (*text)
        cli_say(out, "%-14s %s", title, text);
}

static void describe_time(FILE *out, const char *title, int64_t at_ms)
{
    char text[32];
    if (at_ms)
        describe_line(out, title, cli_format_time(at_ms, text));
}

/* What is beyond that is for programs: --json, export. */
enum { DESCRIBED_MAX_BYTES = 64 << 10 };

static void describe_bytes(FILE *out, const char *title, const void *data, size_t length)
{
    char *shown = cli_escape_bytes(data, length, DESCRIBED_MAX_BYTES);
    fprintf(out, "%-14s %s\n", title, shown);
    mem_free(shown);
    if (length > DESCRIBED_MAX_BYTES)
        cli_say(out, "%-14s %zu bytes in all; --json has them", "", length);
}

void cli_describe_task(const asynq_task_info *task, FILE *out)
{
    char text[32], progress[256];
    describe_line(out, "id", task->id);
    describe_line(out, "queue", task->queue);
    describe_line(out, "type", task->is_readable ? task->type : "(the message cannot be read)");
    describe_line(out, "state", asynq_state_name(task->state));
    describe_line(out, "group", task->group);
    cli_say(out, "%-14s %" PRId32 " of %" PRId32, "retried", task->retried, task->max_retry);
    if (task->losses)
        cli_say(out, "%-14s %" PRId64 " times, as its server was killed or cut off", "lost", task->losses);
    describe_time(out, "runs at", task->next_process_at_ms);
    describe_time(out, task->state == ASYNQ_STATE_COMPLETED ? "kept until" : "since", task->since_ms);
    describe_time(out, "lease ends", task->lease_ends_at_ms);
    describe_line(out, "progress", cli_format_progress(task->progress, task->progress_text, progress));
    describe_time(out, "completed at", task->completed_at_ms);
    describe_time(out, "failed at", task->last_failed_at_ms);
    describe_line(out, "last error", task->last_error);
    if (task->timeout_ms)
        describe_line(out, "timeout", cli_format_duration(task->timeout_ms, text));
    describe_time(out, "deadline", task->deadline_ms);
    if (task->retention_ms)
        describe_line(out, "retention", cli_format_duration(task->retention_ms, text));
    describe_line(out, "lock", task->unique_key);
    for (size_t i = 0; i < task->header_count; i++)
        cli_say(out, "%-14s %s: %s", "header", task->headers[i].key, task->headers[i].value);
    describe_bytes(out, "payload", task->payload, task->payload_length);
    if (task->result_length)
        describe_bytes(out, "result", task->result, task->result_length);
}

int run_task_inspect(cli_run *cli)
{
    asynq_error error;
    asynq_task_list list;
    int status = CLI_OK;
    for (int i = 0; i < cli->argument_count; i++) {
        if (asynq_inspector_task(cli->inspector, cli_queue_of(cli), cli->arguments[i], &list, &error)) {
            status = cli_fail(&error);
            continue;
        }
        if (cli->as_json) {
            cli_print_json_line(cli_json_task(&list.tasks[0]));
        } else {
            if (i)
                putchar('\n');
            cli_describe_task(&list.tasks[0], stdout);
        }
        asynq_task_list_free(&list);
    }
    return status;
}

int run_task_wait(cli_run *cli)
{
    asynq_error error;
    asynq_task_list list;
    int64_t limit_ms = cli_given(cli, "for") ? cli_number(cli, "for") : 60000;
    if (asynq_inspector_wait(cli->inspector, cli_queue_of(cli), cli->arguments[0], limit_ms, &list, &error))
        return cli_fail(&error);
    if (!list.count) {
        if (cli->as_json)
            return cli_print_json_line(json_pack("{ss ss}", "id", cli->arguments[0], "state", "deleted"));
        puts("done, and not kept");
        return CLI_OK;
    }
    const asynq_task_info *task = &list.tasks[0];
    int status = task->state == ASYNQ_STATE_COMPLETED ? CLI_OK : CLI_FAILED;
    if (cli->as_json)
        cli_print_json_line(cli_json_task(task));
    else if (status)
        cli_complain(status, "task \"%s\" is archived: %s", task->id, task->last_error);
    else
        (void)cli_print_raw(task->result, task->result_length);
    asynq_task_list_free(&list);
    return status;
}
