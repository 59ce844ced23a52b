/* Drawing. Lines come from the same tables as those of other commands, and are cut to the screen. */
#include "cli/top.h"

#include "base/clock.h"
#include "base/terminal.h"

#include <curses.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- the body: lines of a table, of which as many are shown as fit ---- */

typedef struct body {
    const top *t;
    size_t from;  /* first row shown */
    int top_line; /* of the screen, for the titles */
    int lines;    /* of the screen, for rows */
} body;

/* The one place where text goes to the screen. It has been escaped: by a table, or by draw_text(). */
static void put(const char *text)
{
    addnstr(text, (int)terminal_fit(text, COLS - getcurx(stdscr)));
}

static void draw_line(int line, const char *text, attr_t attributes)
{
    attron(attributes);
    move(line, 0);
    clrtoeol(); /* before the text: a full line leaves the cursor in the next one */
    put(text);
    if (attributes & A_REVERSE)
        mvchgat(line, 0, -1, attributes, 0, NULL);
    attroff(attributes);
}

static void draw_text(int line, const char *text, attr_t attributes)
{
    draw_line(line, cli_escape(text), attributes);
}

static void draw_row(void *arg, size_t row, const char *text)
{
    const body *b = arg;
    if (row == 0) {
        draw_line(b->top_line, text, A_BOLD);
    } else if (row - 1 >= b->from && row - 1 < b->from + (size_t)b->lines) {
        bool is_selected = row - 1 == b->t->selected[b->t->view];
        draw_line(b->top_line + 1 + (int)(row - 1 - b->from), text, is_selected ? A_REVERSE : A_NORMAL);
    }
}

static void draw_table(const top *t, cli_table *table, int top_line)
{
    body b = {.t = t, .top_line = top_line, .lines = LINES - top_line - 2};
    size_t selected = t->selected[t->view];
    if (b.lines < 1)
        b.lines = 1;
    if (selected >= (size_t)b.lines)
        b.from = selected - (size_t)b.lines + 1;
    cli_table_lines(table, COLS, draw_row, &b);
}

/* ---- queues ---- */

/* The rates of late, against the highest of them. */
static void add_sparkline(cli_table *table, const top_queue *queue, size_t samples)
{
    static const char *const fine[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const coarse[] = {"_", ".", "-", "=", "+", "*", "%", "#"};
    const char *const *levels = terminal_has(0x2588) ? fine : coarse;
    char text[TOP_HISTORY * 4 + 1] = "";
    double highest = 0;
    char *at = text;
    for (size_t i = TOP_HISTORY - samples; i < TOP_HISTORY; i++)
        highest = queue->history[i] > highest ? queue->history[i] : highest;
    for (size_t i = TOP_HISTORY - samples; i < TOP_HISTORY; i++) {
        int level = highest > 0 && queue->history[i] > 0 ? (int)(queue->history[i] / highest * 7.99) : 0;
        at = stpcpy(at, queue->history[i] < 0 ? " " : levels[level]);
    }
    cli_table_add(table, text);
}

/* title, the narrowest screen that has the column, what it shows: a count or a rate at this place of top_queue */
static const struct queue_column {
    const char *title;
    int from_width;
    size_t count, rate;
} columns[] = {
    {"QUEUE", 0, 0, 0},
    {"STATE", 0, 0, 0},
    {">SIZE", 115, offsetof(top_queue, info.size), 0},
    {">ACTIVE", 0, offsetof(top_queue, info.active), 0},
    {">PENDING", 0, offsetof(top_queue, info.pending), 0},
    {">SCHED", 90, offsetof(top_queue, info.scheduled), 0},
    {">RETRY", 50, offsetof(top_queue, info.retry), 0},
    {">ARCHIVED", 60, offsetof(top_queue, info.archived), 0},
    {">COMPLETED", 115, offsetof(top_queue, info.completed), 0},
    {">GROUPED", 115, offsetof(top_queue, info.aggregating), 0},
    {">LATENCY", 70, 0, 0},
    {">DONE/S", 0, 0, offsetof(top_queue, done_per_s)},
    {">FAILED/S", 90, 0, offsetof(top_queue, failed_per_s)},
    {"DONE/S", 80, 0, 0},
};

enum { COLUMNS = sizeof columns / sizeof *columns, COLUMN_NAME = 0, COLUMN_STATE = 1, COLUMN_LATENCY = 10 };
enum { WIDE_SCREEN = 145, SPARKS_NARROW = 8 };

static void add_cell(cli_table *table, const top_queue *queue, size_t column)
{
    char text[32];
    const char *base = (const char *)queue;
    if (column == COLUMN_NAME)
        cli_table_add(table, queue->name);
    else if (column == COLUMN_STATE)
        cli_table_add(table, queue->info.paused ? "paused" : "runs");
    else if (column == COLUMN_LATENCY)
        cli_table_add(table, cli_format_duration(queue->info.latency_ms, text));
    else if (columns[column].count)
        cli_table_add_number(table, *(const int64_t *)(const void *)(base + columns[column].count));
    else if (columns[column].rate)
        cli_table_addf(table, "%.0f", *(const double *)(const void *)(base + columns[column].rate));
    else
        add_sparkline(table, queue, COLS < WIDE_SCREEN ? SPARKS_NARROW : TOP_HISTORY);
}

static void draw_queues(const top *t, int line)
{
    const char *titles[COLUMNS + 1] = {0};
    size_t shown = 0;
    for (size_t i = 0; i < COLUMNS; i++)
        if (COLS >= columns[i].from_width)
            titles[shown++] = columns[i].title;
    cli_table *table = cli_table_new(titles);
    for (size_t i = 0; i < t->queue_count; i++)
        for (size_t k = 0; k < COLUMNS; k++)
            if (COLS >= columns[k].from_width)
                add_cell(table, &t->queues[i], k);
    draw_table(t, table, line);
    if (!t->queue_count && t->sampled_at_ms)
        draw_line(line + 1, "there is no queue yet", A_NORMAL);
}

/* ---- tasks ---- */

static void draw_states(const top *t, int line)
{
    char page[32];
    draw_text(line, t->queue, A_NORMAL);
    put(": ");
    for (int state = ASYNQ_STATE_ACTIVE; state <= ASYNQ_STATE_AGGREGATING; state++) {
        bool is_shown = state == (int)t->state;
        attron(is_shown ? A_REVERSE : A_NORMAL);
        put(asynq_state_name((asynq_state)state));
        attroff(is_shown ? A_REVERSE : A_NORMAL);
        put(" ");
    }
    if (t->group)
        put(" group "), put(cli_escape(t->group));
    snprintf(page, sizeof page, " page %" PRId64, t->page);
    if (t->page > 1)
        put(page);
}

static void draw_groups(const top *t, int line)
{
    static const char *const titles[] = {"GROUP", ">TASKS", NULL};
    cli_table *table = cli_table_new(titles);
    for (size_t i = 0; i < t->groups.count; i++) {
        cli_table_add(table, t->groups.groups[i].name);
        cli_table_add_number(table, t->groups.groups[i].size);
    }
    draw_table(t, table, line);
}

static void draw_tasks(const top *t, int line)
{
    draw_states(t, line);
    if (t->state == ASYNQ_STATE_AGGREGATING && !t->group) {
        draw_groups(t, line + 1);
    } else {
        cli_table *table = cli_task_table(t->state);
        for (size_t i = 0; i < t->tasks.count; i++)
            cli_add_task(table, &t->tasks.tasks[i]);
        draw_table(t, table, line + 1);
    }
    if (!t->rows && t->sampled_at_ms)
        draw_line(line + 2, "none", A_NORMAL);
}

static void draw_task(const top *t, int line)
{
    char *text = NULL;
    size_t length;
    if (!t->task.count) {
        if (t->sampled_at_ms)
            draw_line(line, "the task is gone: done and not kept, or deleted", A_NORMAL);
        return;
    }
    FILE *out = open_memstream(&text, &length);
    if (!out)
        abort();
    cli_describe_task(&t->task.tasks[0], out);
    fclose(out);
    char *rest = text;
    for (char *each; line < LINES - 1 && (each = strsep(&rest, "\n"));)
        draw_line(line++, each, A_NORMAL);
    free(text);
}

/* ---- servers ---- */

static void draw_servers(const top *t, int line)
{
    static const char *const titles[] = {"SERVER, TASK", "STATE, TYPE", ">WORKERS", "QUEUE",
                                         ">FOR",         "PROGRESS",    "PAYLOAD",  NULL};
    int64_t now_ms = clock_now_ns() / NS_PER_MS;
    char text[32], progress[256];
    cli_table *table = cli_table_new(titles);
    for (size_t i = 0; i < t->servers.count; i++) {
        const asynq_server_info *server = &t->servers.servers[i];
        cli_table_addf(table, "%s:%" PRId32, server->host, server->pid);
        cli_table_add(table, server->status);
        cli_table_addf(table, "%" PRId32 "/%" PRId32, server->active_workers, server->concurrency);
        cli_table_add(table, server->queue_count == 1 ? server->queues[0].name : "");
        cli_table_add(table, cli_format_duration(now_ms - server->started_at_ms, text));
        cli_table_add(table, "");
        cli_table_add(table, "");
        for (size_t k = 0; k < server->worker_count; k++) {
            const asynq_worker_info *worker = &server->workers[k];
            cli_table_addf(table, "  %s", worker->task_id);
            cli_table_add(table, worker->task_type);
            cli_table_add(table, "");
            cli_table_add(table, worker->queue);
            cli_table_add(table, cli_format_duration(now_ms - worker->started_at_ms, text));
            cli_table_add(table, cli_format_progress(worker->progress, worker->progress_text, progress));
            cli_table_add_bytes(table, worker->payload, worker->payload_length);
        }
    }
    draw_table(t, table, line);
    if (!t->servers.count && t->sampled_at_ms)
        draw_line(line + 1, "no server runs", A_NORMAL);
}

/* ---- first and last line ---- */

static void draw_head(const top *t)
{
    char text[512], clock_text[32];
    if (t->lost.code) {
        snprintf(text, sizeof text, "since %s: %s", cli_format_time(t->lost_at_ms, clock_text), t->lost.text);
        draw_text(0, text, A_REVERSE);
        return;
    }
    if (!t->sampled_at_ms) {
        snprintf(text, sizeof text, "asking Redis at %s", t->place);
        draw_text(0, text, A_NORMAL);
        return;
    }
    int64_t workers = 0, slots = 0;
    double done = 0, failed = 0;
    for (size_t i = 0; i < t->servers.count; i++) {
        workers += t->servers.servers[i].active_workers;
        slots += t->servers.servers[i].concurrency;
    }
    for (size_t i = 0; i < t->queue_count; i++) {
        done += t->queues[i].done_per_s;
        failed += t->queues[i].failed_per_s;
    }
    cli_format_time(clock_now_ns() / NS_PER_MS, clock_text);
    snprintf(text, sizeof text,
             "%s  %zu server%s, %" PRId64 " of %" PRId64 " workers busy  %.0f done/s, %.0f failed/s  %s", clock_text,
             t->servers.count, t->servers.count == 1 ? "" : "s", workers, slots, done, failed, t->place);
    draw_text(0, text, A_NORMAL);
}

static void draw_foot(const top *t)
{
    const char *text = *t->question ? t->question : *t->message ? t->message : top_help(t);
    draw_text(LINES - 1, text, *t->question || (*t->message && t->is_complaint) ? A_REVERSE : A_BOLD);
}

void top_draw(top *t)
{
    static void (*const draw[])(const top *, int) = {
        [TOP_QUEUES] = draw_queues, [TOP_TASKS] = draw_tasks, [TOP_TASK] = draw_task, [TOP_SERVERS] = draw_servers};
    erase();
    if (LINES >= 4)
        draw[t->view](t, 1);
    draw_head(t);
    if (LINES >= 2)
        draw_foot(t);
    refresh();
}
