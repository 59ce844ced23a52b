/* Entries of schedulers, and what a cron specification means. */
#include "cli/commands.h"

#include "base/buf.h"
#include "schedule/provided.h"
#include "schedule/schedule_file.h"

#include <stdlib.h>
#include <time.h>

/* ---- entries ---- */

static json_t *json_of_schedule(const asynq_schedule_info *schedule)
{
    json_t *options = json_array();
    for (size_t i = 0; i < schedule->option_count; i++)
        json_array_append_new(options, json_string(schedule->options[i]));
    return json_pack("{ss ss ss so so so so}", "id", schedule->id, "spec", schedule->spec, "type", schedule->task_type,
                     "payload", cli_json_bytes(schedule->payload, schedule->payload_length), "options", options,
                     "next_at", cli_json_time(schedule->next_at_ms), "previous_at",
                     cli_json_time(schedule->previous_at_ms));
}

static void add_schedule(cli_table *table, const asynq_schedule_info *schedule)
{
    char text[32];
    buf options;
    buf_init(&options, 0);
    for (size_t i = 0; i < schedule->option_count; i++)
        buf_append_format(&options, "%s%s", i ? " " : "", schedule->options[i]);
    cli_table_add(table, schedule->id);
    cli_table_add(table, schedule->spec);
    cli_table_add(table, schedule->task_type);
    cli_table_add_bytes(table, schedule->payload, schedule->payload_length);
    cli_table_add(table, options.data ? options.data : "");
    cli_table_add(table, schedule->next_at_ms <= cli_now_ms()
                             ? "now"
                             : cli_format_duration(schedule->next_at_ms - cli_now_ms(), text));
    cli_table_add(table,
                  cli_format_duration(schedule->previous_at_ms ? cli_now_ms() - schedule->previous_at_ms : 0, text));
    buf_clear(&options);
}

int run_cron_ls(cli_run *cli)
{
    static const char *const titles[] = {"ENTRY", "SPEC", "TYPE", "PAYLOAD", "OPTIONS", ">NEXT IN", ">LAST AGO", NULL};
    asynq_error error;
    asynq_schedule_list list;
    if (asynq_inspector_schedules(cli->inspector, &list, &error))
        return cli_fail(&error);
    int status = CLI_OK;
    if (cli->as_json) {
        json_t *rows = json_array();
        for (size_t i = 0; i < list.count; i++)
            json_array_append_new(rows, json_of_schedule(&list.schedules[i]));
        status = cli_print_json(rows);
    } else if (!list.count) {
        fputs("no scheduler has entries\n", stderr);
    } else {
        cli_table *table = cli_table_new(titles);
        for (size_t i = 0; i < list.count; i++)
            add_schedule(table, &list.schedules[i]);
        cli_table_print(cli, table);
    }
    asynq_schedule_list_free(&list);
    return status;
}

static int print_events(const cli_run *cli, const char *entry, const asynq_schedule_event_list *list)
{
    static const char *const titles[] = {"ENTRY", "TASK", "ENQUEUED AT", NULL};
    if (cli->as_json) {
        json_t *events = json_array();
        for (size_t i = 0; i < list->count; i++)
            json_array_append_new(events, json_pack("{ss so}", "task_id", list->events[i].task_id, "enqueued_at",
                                                    cli_json_time(list->events[i].at_ms)));
        return cli_print_json(json_pack("{ss so}", "entry", entry, "events", events));
    }
    char text[32];
    cli_table *table = cli_table_new(titles);
    for (size_t i = 0; i < list->count; i++) {
        cli_table_add(table, entry);
        cli_table_add(table, list->events[i].task_id);
        cli_table_add(table, cli_format_time(list->events[i].at_ms, text));
    }
    cli_table_print(cli, table);
    return CLI_OK;
}

int run_cron_history(cli_run *cli)
{
    asynq_error error;
    asynq_schedule_event_list list;
    asynq_page page = {cli_number(cli, "page"), cli_number(cli, "size")};
    int status = CLI_OK;
    for (int i = 0; i < cli->argument_count && !status; i++) {
        if (asynq_inspector_schedule_events(cli->inspector, cli->arguments[i], &page, &list, &error))
            return cli_fail(&error);
        status = print_events(cli, cli->arguments[i], &list);
        asynq_schedule_event_list_free(&list);
    }
    return status;
}

/* ---- specifications ---- */

/* "Mon 2006-01-02 15:04:05 CET" */
static void add_zoned_time(cli_table *table, int64_t at_ms)
{
    char text[64];
    struct tm local;
    time_t at_s = (time_t)(at_ms / 1000);
    localtime_r(&at_s, &local);
    strftime(text, sizeof text, "%a %Y-%m-%d %H:%M:%S %Z", &local);
    cli_table_add(table, text);
}

static void print_next(const cli_run *cli, const asynq_cron *cron, int64_t at_ms, int64_t count)
{
    static const char *const titles[] = {"NEXT", ">IN", NULL};
    char text[32];
    setenv("TZ", asynq_cron_zone(cron), 1);
    tzset();
    cli_table *table = cli_table_new(titles);
    for (; count > 0 && at_ms != ASYNQ_NONE; count--, at_ms = asynq_cron_next_ms(cron, at_ms)) {
        add_zoned_time(table, at_ms);
        cli_table_add(table, cli_format_duration(at_ms - cli_now_ms(), text));
    }
    cli_table_print(cli, table);
}

static int print_next_json(const asynq_cron *cron, int64_t at_ms, int64_t count)
{
    json_t *list = json_array();
    for (; count > 0 && at_ms != ASYNQ_NONE; count--, at_ms = asynq_cron_next_ms(cron, at_ms))
        json_array_append_new(list, cli_json_time(at_ms));
    return cli_print_json(list);
}

int run_cron_next(cli_run *cli)
{
    asynq_error error;
    asynq_cron *cron = asynq_cron_new(cli->arguments[0], cli_text(cli, "zone"), &error);
    if (!cron)
        return cli_complain(CLI_USAGE, "%s", error.text);
    int status = CLI_OK;
    int64_t count = cli_given(cli, "count") ? cli_number(cli, "count") : 5;
    int64_t first_ms = asynq_cron_next_ms(cron, cli_given(cli, "from") ? cli_number(cli, "from") : cli_now_ms());
    if (cli->as_json)
        status = print_next_json(cron, first_ms, count);
    else if (first_ms == ASYNQ_NONE)
        fputs("not in the next five years\n", stderr);
    else
        print_next(cli, cron, first_ms, count);
    asynq_cron_free(cron);
    return status;
}

/* ---- files ---- */

static json_t *cron_json_of_entry(const schedule_entry *entry, int64_t next_ms)
{
    const asynq_periodic *own = &entry->periodic;
    json_t *options = json_array();
    bool has_payload = own->task.payload != NULL;
    for (size_t i = 0; i < entry->option_count; i++)
        json_array_append_new(options, cli_json_bytes(entry->option_texts[i].data, entry->option_texts[i].length));
    return json_pack("{ss ss? ss ss ss ss so so so}", "id", entry->id, "name", own->name, "spec", own->spec, "zone",
                     asynq_cron_zone(entry->cron), "type", own->task.type, "queue", entry->queue_name, "payload",
                     has_payload ? cli_json_bytes(own->task.payload, own->task.payload_length) : json_null(), "options",
                     options, "next_at", cli_json_time(next_ms == ASYNQ_NONE ? 0 : next_ms));
}

static void cron_add_entry(cli_table *table, const schedule_entry *entry, int64_t next_ms)
{
    const asynq_periodic *own = &entry->periodic;
    char text[32];
    cli_table_add(table, own->name ? own->name : "");
    cli_table_add(table, own->spec);
    cli_table_add(table, asynq_cron_zone(entry->cron));
    cli_table_add(table, own->task.type);
    cli_table_add_bytes(table, own->task.payload ? own->task.payload : "",
                        own->task.payload ? own->task.payload_length : 0);
    cli_table_add(table, entry->queue_name);
    cli_table_add(table, next_ms == ASYNQ_NONE ? "never" : cli_format_duration(next_ms - cli_now_ms(), text));
}

static int print_entries(const cli_run *cli, const asynq_periodic_list *list)
{
    static const char *const titles[] = {"NAME", "SPEC", "ZONE", "TYPE", "PAYLOAD", "QUEUE", ">NEXT IN", NULL};
    json_t *rows = cli->as_json ? json_array() : NULL;
    cli_table *table = cli->as_json ? NULL : cli_table_new(titles);
    schedule_entry *entry, *next;
    HASH_ITER(hh, list->by_id, entry, next) {
        int64_t next_ms = asynq_cron_next_ms(entry->cron, cli_now_ms());
        if (rows)
            json_array_append_new(rows, cron_json_of_entry(entry, next_ms));
        else
            cron_add_entry(table, entry, next_ms);
    }
    if (rows)
        return cli_print_json(rows);
    cli_table_print(cli, table);
    return CLI_OK;
}

int run_cron_check(cli_run *cli)
{
    asynq_error error = {0};
    key_space space = {0};
    asynq_periodic_list list = {.context = {.space = &space, .zone = cli_text(cli, "zone")}};
    schedule_file *file = schedule_file_new(cli->arguments[0]);
    int problem = file ? key_space_init(&space, cli_prefix(cli), &error) : ASYNQ_E_NO_MEMORY;
    if (!problem)
        problem = schedule_file_provide(&list, file, &error);
    int status =
        problem ? cli_complain(CLI_FAILED, "%s", problem == ASYNQ_E_NO_MEMORY ? asynq_status_text(problem) : error.text)
                : print_entries(cli, &list);
    periodic_list_clear(&list);
    schedule_file_free(file);
    key_space_clear(&space);
    return status;
}
