/* What keys do. One table per sort of thing: the help in the last line comes from it, too. */
#include "cli/top.h"

#include "base/alloc.h"

#include <curses.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_ESCAPE = 27 };

static void say(top *t, bool is_complaint, const char *format, ...) ASYNQ_PRINTF(3, 4);
static void say(top *t, bool is_complaint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->message, sizeof t->message, format, args);
    va_end(args);
    t->is_complaint = is_complaint;
}

static void top_keys_keep(char **kept, const char *text)
{
    char *copy = text ? mem_strdup(text) : NULL;
    if (text && !copy)
        abort();
    mem_free(*kept);
    *kept = copy;
}

/* ---- moving about ---- */

static void show(top *t, top_view view)
{
    t->view = view;
    top_look(t);
}

static void show_state(top *t, int step)
{
    const int count = ASYNQ_STATE_AGGREGATING;
    t->state = (asynq_state)((t->state - 1 + step + count) % count + 1);
    top_keys_keep(&t->group, NULL);
    t->page = 1;
    t->selected[TOP_TASKS] = 0;
    show(t, TOP_TASKS);
}

static void go_in(top *t)
{
    const top_queue *queue = top_selected_queue(t);
    const asynq_task_info *task = top_selected_task(t);
    const asynq_group_info *group = top_selected_group(t);
    const asynq_worker_info *worker = top_selected_worker(t);
    if (queue) {
        top_keys_keep(&t->queue, queue->name);
        t->state = queue->info.active ? ASYNQ_STATE_ACTIVE : ASYNQ_STATE_PENDING;
        show_state(t, 0);
    } else if (group) {
        top_keys_keep(&t->group, group->name);
        t->page = 1;
        t->selected[TOP_TASKS] = 0;
        show(t, TOP_TASKS);
    } else if (worker || (task && t->view == TOP_TASKS)) {
        if (worker)
            top_keys_keep(&t->queue, worker->queue);
        top_keys_keep(&t->id, worker ? worker->task_id : task->id);
        t->before_task = t->view;
        show(t, TOP_TASK);
    }
}

static void go_back(top *t)
{
    if (t->view == TOP_TASK) {
        show(t, t->before_task);
    } else if (t->view == TOP_TASKS && t->group) {
        top_keys_keep(&t->group, NULL);
        show(t, TOP_TASKS);
    } else {
        show(t, TOP_QUEUES);
    }
}

static void go_to_servers(top *t)
{
    show(t, TOP_SERVERS);
}

static void quit(top *t)
{
    t->ends = true;
}

static void next_state(top *t)
{
    if (t->view == TOP_TASKS)
        show_state(t, 1);
}

static void previous_state(top *t)
{
    if (t->view == TOP_TASKS)
        show_state(t, -1);
}

static void select_row(top *t, size_t row)
{
    t->selected[t->view] = row < t->rows ? row : t->rows ? t->rows - 1 : 0;
}

static void go_down(top *t)
{
    select_row(t, t->selected[t->view] + 1);
}

static void go_up(top *t)
{
    if (t->selected[t->view])
        select_row(t, t->selected[t->view] - 1);
}

static void next_page(top *t)
{
    if (t->view == TOP_TASKS && t->tasks.count == (size_t)t->page_size)
        t->page++;
    else
        select_row(t, t->selected[t->view] + (size_t)LINES / 2);
    top_look(t);
}

static void previous_page(top *t)
{
    size_t half = (size_t)LINES / 2;
    if (t->view == TOP_TASKS && t->page > 1)
        t->page--;
    else
        select_row(t, t->selected[t->view] > half ? t->selected[t->view] - half : 0);
    top_look(t);
}

/* ---- steering ---- */

static void told(top *t, int status, const asynq_error *error, const char *what, const char *name)
{
    if (status)
        say(t, true, "%s", error->text);
    else
        say(t, false, "%s %s", name, what);
    top_look(t);
}

static void pause_queue(top *t)
{
    asynq_error error;
    const top_queue *queue = top_selected_queue(t);
    char name[128];
    if (!queue)
        return;
    bool is_paused = queue->info.paused;
    snprintf(name, sizeof name, "%s", queue->name);
    int status = is_paused ? asynq_inspector_unpause(t->inspector, name, &error)
                           : asynq_inspector_pause(t->inspector, name, &error);
    told(t, status, &error, is_paused ? "goes on" : "is paused", name);
}

static void top_keys_act(top *t, asynq_action action, const char *done)
{
    asynq_error error;
    const asynq_task_info *task = top_selected_task(t);
    char id[128];
    if (!task)
        return;
    snprintf(id, sizeof id, "%s", task->id);
    int status = asynq_inspector_act(t->inspector, action, task->queue, task->id, &error);
    told(t, status, &error, done, id);
}

static void run_task(top *t)
{
    top_keys_act(t, ASYNQ_ACTION_RUN, "is set to run");
}

static void archive_task(top *t)
{
    top_keys_act(t, ASYNQ_ACTION_ARCHIVE, "is archived");
}

static void delete_agreed(top *t)
{
    asynq_error error;
    int status = asynq_inspector_act(t->inspector, ASYNQ_ACTION_DELETE, t->queue, t->id, &error);
    told(t, status, &error, "is deleted", t->id);
}

/* The id is kept: rows may move while the question is read. */
static void delete_task(top *t)
{
    const asynq_task_info *task = top_selected_task(t);
    if (!task)
        return;
    if (t->view != TOP_TASK)
        top_keys_keep(&t->id, task->id);
    snprintf(t->question, sizeof t->question, "delete task %s? (y/n)", t->id);
    t->if_agreed = delete_agreed;
}

static void cancel_task(top *t)
{
    asynq_error error;
    const asynq_task_info *task = top_selected_task(t);
    const asynq_worker_info *worker = top_selected_worker(t);
    char id[128];
    if (worker || (task && task->state == ASYNQ_STATE_ACTIVE)) {
        snprintf(id, sizeof id, "%s", worker ? worker->task_id : task->id);
        int status = asynq_inspector_cancel(t->inspector, worker ? worker->task_id : task->id, &error);
        told(t, status, &error, "is asked to stop", id);
    } else if (task) {
        say(t, true, "only running tasks can be cancelled");
    }
}

/* ---- the table ---- */

#define IN(view) (1 << (view))
#define EVERYWHERE (IN(TOP_QUEUES) | IN(TOP_TASKS) | IN(TOP_TASK) | IN(TOP_SERVERS))

/* key, others that do the same, where, what it does, its help ("": obvious) */
static const struct key_row {
    int key, or_key;
    int views;
    void (*run)(top *t);
    const char *help;
} rows[] = {
    {KEY_UP, 'k', EVERYWHERE, go_up, ""},
    {KEY_DOWN, 'j', EVERYWHERE, go_down, ""},
    {KEY_NPAGE, ' ', EVERYWHERE, next_page, ""},
    {KEY_PPAGE, 'b', EVERYWHERE, previous_page, ""},
    {KEY_ENTER, '\n', EVERYWHERE & ~IN(TOP_TASK), go_in, "Enter look into"},
    {KEY_RIGHT, 'l', IN(TOP_TASKS), next_state, "Left/Right state"},
    {KEY_LEFT, 'h', IN(TOP_TASKS), previous_state, ""},
    {'p', 0, IN(TOP_QUEUES), pause_queue, "p pause/go on"},
    {'r', 0, IN(TOP_TASKS) | IN(TOP_TASK), run_task, "r run"},
    {'a', 0, IN(TOP_TASKS) | IN(TOP_TASK), archive_task, "a archive"},
    {'d', KEY_DC, IN(TOP_TASKS) | IN(TOP_TASK), delete_task, "d delete"},
    {'c', 0, IN(TOP_TASKS) | IN(TOP_TASK) | IN(TOP_SERVERS), cancel_task, "c cancel"},
    {'s', 0, IN(TOP_QUEUES) | IN(TOP_TASKS), go_to_servers, "s servers"},
    {KEY_ESCAPE, KEY_BACKSPACE, EVERYWHERE & ~IN(TOP_QUEUES), go_back, "Esc back"},
    {'q', 0, EVERYWHERE, quit, "q quit"},
};

const char *top_help(const top *t)
{
    static char text[256];
    char *at = text;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (*rows[i].help && (rows[i].views & IN(t->view)))
            at += snprintf(at, sizeof text - (size_t)(at - text), "%s%s", at == text ? "" : "   ", rows[i].help);
    return text;
}

void top_key(top *t, int key)
{
    *t->message = '\0';
    if (*t->question) {
        *t->question = '\0';
        if (key == 'y' || key == 'Y')
            t->if_agreed(t);
        else
            say(t, false, "nothing was done");
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((rows[i].key == key || rows[i].or_key == key) && (rows[i].views & IN(t->view)))
            rows[i].run(t);
}
