/* Tasks as lines of JSON, out of Redis and back. */
#include "cli/commands.h"

#include "base/buf.h"
#include "wire/base64.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- export ---- */

typedef struct exporter {
    const cli_run *cli;
    asynq_task_filter filter;
    cli_progress progress;
    int64_t count, unreadable, in_aggregation;
    int status;
} exporter;

static bool export_task(const asynq_task_info *task, void *arg)
{
    exporter *e = arg;
    if (!task->is_readable) {
        e->unreadable++;
        return true;
    }
    e->count++;
    e->status = cli_print_json_line(cli_json_task(task));
    return !e->status;
}

static int export_set(exporter *e, const asynq_task_set *set)
{
    asynq_error error;
    int64_t passed_over = 0;
    int status = asynq_inspector_each(e->cli->inspector, set,
                                      &(asynq_walk_options){.filter = &e->filter,
                                                            .progress = cli_show_progress,
                                                            .progress_arg = &e->progress,
                                                            .passed_over = &passed_over},
                                      export_task, e, &error);
    cli_end_progress(&e->progress);
    if (passed_over)
        cli_complain(CLI_OK, "%" PRId64 " %s tasks are passed over, as it is not known since when they are there",
                     passed_over, asynq_state_name(set->state));
    return status ? cli_fail(&error) : e->status;
}

static int export_groups(exporter *e, const char *queue)
{
    asynq_error error;
    asynq_group_list groups;
    if (cli_given(e->cli, "group"))
        return export_set(e, &(asynq_task_set){queue, ASYNQ_STATE_AGGREGATING, cli_text(e->cli, "group")});
    if (asynq_inspector_groups(e->cli->inspector, queue, &groups, &error))
        return cli_fail(&error);
    int status = CLI_OK;
    for (size_t i = 0; i < groups.count && !status; i++)
        status = export_set(e, &(asynq_task_set){queue, ASYNQ_STATE_AGGREGATING, groups.groups[i].name});
    asynq_group_list_free(&groups);
    return status;
}

/* Tasks that no set knows, because a server aggregates them at this moment or was lost with them. */
static int note_missing(exporter *e, const char *queue)
{
    asynq_error error;
    asynq_queue_info info;
    if (asynq_inspector_queue(e->cli->inspector, queue, &info, &error))
        return cli_fail(&error);
    e->in_aggregation += info.in_aggregation;
    return CLI_OK;
}

static int export_queue(exporter *e, const char *queue)
{
    int status = CLI_OK;
    asynq_state only = (asynq_state)cli_number(e->cli, "state");
    for (int state = ASYNQ_STATE_ACTIVE; state <= ASYNQ_STATE_AGGREGATING && !status; state++) {
        if (only && only != (asynq_state)state)
            continue;
        status = state == ASYNQ_STATE_AGGREGATING ? export_groups(e, queue)
                                                  : export_set(e, &(asynq_task_set){queue, (asynq_state)state, NULL});
    }
    if (!status && (!only || only == ASYNQ_STATE_AGGREGATING))
        status = note_missing(e, queue);
    return status;
}

static int export_all_queues(exporter *e)
{
    asynq_error error;
    asynq_name_list queues;
    if (asynq_inspector_queues(e->cli->inspector, &queues, &error))
        return cli_fail(&error);
    int status = CLI_OK;
    for (size_t i = 0; i < queues.count && !status && !cli_is_interrupted(); i++)
        status = export_queue(e, queues.names[i]);
    asynq_name_list_free(&queues);
    return status;
}

int run_export(cli_run *cli)
{
    exporter e = {.cli = cli, .filter = cli_filter_of(cli), .progress.what = "exporting"};
    int status = cli_given(cli, "queue") ? export_queue(&e, cli_text(cli, "queue")) : export_all_queues(&e);
    fprintf(stderr, "%" PRId64 " tasks exported\n", e.count);
    if (!status && e.unreadable)
        status = cli_complain(CLI_FAILED, "%" PRId64 " tasks cannot be read and were left out", e.unreadable);
    if (!status && e.in_aggregation)
        status =
            cli_complain(CLI_FAILED,
                         "%" PRId64 " tasks are not in the export: they are being aggregated, or were when a server "
                         "was lost; two minutes later they are tasks of a group again, or have become another one",
                         e.in_aggregation);
    return !status && cli_is_interrupted() ? cli_complain(CLI_INTERRUPTED, "stopped before the end") : status;
}

/* ---- import ---- */

/* One line; what is wrong with it is told once. */
typedef struct import_line {
    int64_t number;
    json_t *object;
    bool failed;
    buf bytes[2]; /* decoded payload and result */
} import_line;

static void reject(import_line *line, const char *field, const char *wanted)
{
    if (!line->failed)
        cli_complain(CLI_FAILED, "line %" PRId64 ": \"%s\" is not %s", line->number, field, wanted);
    line->failed = true;
}

static const char *text_in(import_line *line, const char *field)
{
    json_t *value = json_object_get(line->object, field);
    if (value && !json_is_string(value))
        reject(line, field, "a text");
    return value && json_is_string(value) ? json_string_value(value) : "";
}

static int64_t number_in(import_line *line, const char *field)
{
    json_t *value = json_object_get(line->object, field);
    if (value && !json_is_integer(value))
        reject(line, field, "a whole number");
    return json_integer_value(value);
}

static int32_t small_number_in(import_line *line, const char *field)
{
    int64_t number = number_in(line, field);
    if (number < INT32_MIN || number > INT32_MAX)
        reject(line, field, "a number of 32 bits");
    return (int32_t)number;
}

static int64_t time_in(import_line *line, const char *field)
{
    int64_t at_ms = 0;
    json_t *value = json_object_get(line->object, field);
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value) || !cli_read_time(json_string_value(value), &at_ms))
        reject(line, field, "a time such as \"2026-01-02T15:04:05Z\"");
    return at_ms;
}

/* A text, or {"base64": text}. */
static void export_bytes_in(import_line *line, const char *field, buf *out)
{
    json_t *value = json_object_get(line->object, field);
    const char *encoded = json_string_value(json_object_get(value, "base64"));
    buf_init(out, 0);
    if (json_is_string(value)) {
        buf_append(out, json_string_value(value), json_string_length(value));
    } else if (encoded) {
        if (!base64_decode(encoded, out))
            reject(line, field, "base64");
    } else if (value) {
        reject(line, field, "a text or {\"base64\": text}");
    }
}

static asynq_state state_in(import_line *line)
{
    asynq_state state = ASYNQ_STATE_PENDING;
    const char *name = text_in(line, "state");
    if (*name && !asynq_state_from_name(name, &state))
        reject(line, "state", "the state of a task");
    return state;
}

/* Headers borrow from the object. NULL: none. */
static asynq_header *headers_in(import_line *line, size_t *count)
{
    json_t *object = json_object_get(line->object, "headers"), *value;
    const char *key;
    asynq_header *headers = calloc(json_object_size(object) + 1, sizeof *headers);
    *count = 0;
    json_object_foreach(object, key, value) {
        if (!json_is_string(value))
            reject(line, "headers", "an object of texts");
        else if (headers)
            headers[(*count)++] = (asynq_header){key, json_string_value(value)};
    }
    return headers;
}

typedef struct importer {
    cli_run *cli;
    int64_t done, known, bad;
} importer;

static void import_task(importer *i, import_line *line)
{
    asynq_error error;
    export_bytes_in(line, "payload", &line->bytes[0]);
    export_bytes_in(line, "result", &line->bytes[1]);
    size_t header_count;
    asynq_header *headers = headers_in(line, &header_count);
    asynq_task_info task = {
        .id = text_in(line, "id"),
        .queue = text_in(line, "queue"),
        .type = text_in(line, "type"),
        .payload = line->bytes[0].data ? line->bytes[0].data : "",
        .payload_length = line->bytes[0].length,
        .headers = headers,
        .header_count = header_count,
        .max_retry = small_number_in(line, "max_retry"),
        .retried = small_number_in(line, "retried"),
        .last_error = text_in(line, "last_error"),
        .last_failed_at_ms = time_in(line, "last_failed_at"),
        .timeout_ms = number_in(line, "timeout_ms"),
        .deadline_ms = time_in(line, "deadline"),
        .retention_ms = number_in(line, "retention_ms"),
        .completed_at_ms = time_in(line, "completed_at"),
        .unique_key = text_in(line, "unique_key"),
        .group = text_in(line, "group"),
        .state = state_in(line),
        .next_process_at_ms = time_in(line, "next_process_at"),
        .since_ms = time_in(line, "since"),
        .result = line->bytes[1].data ? line->bytes[1].data : "",
        .result_length = line->bytes[1].length,
    };
    int status = line->failed || cli_given(i->cli, "check") ? ASYNQ_OK
                                                            : asynq_inspector_restore(i->cli->inspector, &task, &error);
    if (status == ASYNQ_E_CONFLICT)
        i->known++;
    else if (status)
        cli_complain(CLI_FAILED, "line %" PRId64 ": %s", line->number, error.text);
    i->bad += line->failed || (status && status != ASYNQ_E_CONFLICT);
    i->done += !line->failed && !status;
    free(headers);
    buf_clear(&line->bytes[0]);
    buf_clear(&line->bytes[1]);
}

static void import_text(importer *i, const char *text, int64_t number)
{
    json_error_t problem;
    import_line line = {.number = number, .object = json_loads(text, JSON_ALLOW_NUL, &problem)};
    if (json_is_object(line.object)) {
        import_task(i, &line);
    } else {
        i->bad++;
        cli_complain(CLI_FAILED, "line %" PRId64 ": not an object of JSON: %s", number,
                     line.object ? "another value" : problem.text);
    }
    json_decref(line.object);
}

static int import_file(importer *i, FILE *file)
{
    char *text = NULL;
    size_t capacity = 0;
    int64_t number = 0;
    while (getline(&text, &capacity, file) > 0) {
        number++;
        if (text[strspn(text, " \t\r\n")])
            import_text(i, text, number);
    }
    free(text);
    return ferror(file) ? cli_complain(CLI_FAILED, "the input cannot be read") : CLI_OK;
}

int run_import(cli_run *cli)
{
    importer i = {.cli = cli};
    bool is_file = cli->argument_count && strcmp(cli->arguments[0], "-") != 0;
    FILE *file = is_file ? fopen(cli->arguments[0], "re") : stdin;
    if (!file)
        return cli_complain(CLI_FAILED, "%s cannot be opened", cli->arguments[0]);
    int status = import_file(&i, file);
    if (is_file)
        fclose(file);
    if (cli->as_json)
        cli_print_json(json_pack("{sI sI sI}", "imported", (json_int_t)i.done, "existed", (json_int_t)i.known, "bad",
                                 (json_int_t)i.bad));
    else
        cli_say(stdout, "%" PRId64 " tasks %s, %" PRId64 " existed already, %" PRId64 " lines are bad", i.done,
                cli_given(cli, "check") ? "can be imported" : "imported", i.known, i.bad);
    return status ? status : i.bad ? CLI_FAILED : CLI_OK;
}
