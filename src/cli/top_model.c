/* What "asynqctl top" knows. */
#include "cli/top.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- queues ---- */

static int top_model_compare_queues(const void *a, const void *b)
{
    return strcmp(((const top_queue *)a)->name, ((const top_queue *)b)->name);
}

static top_queue *find_queue(top *t, const char *name)
{
    for (size_t i = 0; i < t->queue_count; i++)
        if (strcmp(t->queues[i].name, name) == 0)
            return &t->queues[i];
    return NULL;
}

static top_queue *add_queue(top *t, const char *name)
{
    top_queue *queues = mem_realloc(t->queues, (t->queue_count + 1) * sizeof *queues);
    char *copy = mem_strdup(name);
    if (!queues || !copy)
        abort();
    t->queues = queues;
    top_queue *queue = &queues[t->queue_count++];
    *queue = (top_queue){.name = copy, .is_new = true};
    for (size_t i = 0; i < TOP_HISTORY; i++)
        queue->history[i] = -1;
    return queue;
}

static double rate(int64_t before, int64_t after, double seconds)
{
    return after > before && seconds > 0 ? (double)(after - before) / seconds : 0;
}

static void top_model_take_sample(top_queue *queue, const asynq_queue_info *info, double seconds)
{
    if (!queue->is_new) {
        queue->done_per_s = rate(queue->info.processed_total, info->processed_total, seconds);
        queue->failed_per_s = rate(queue->info.failed_total, info->failed_total, seconds);
        memmove(queue->history, queue->history + 1, (TOP_HISTORY - 1) * sizeof *queue->history);
        queue->history[TOP_HISTORY - 1] = queue->done_per_s;
    }
    queue->info = *info;
    queue->is_new = false;
    queue->is_there = true;
}

static void drop_gone(top *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->queue_count; i++)
        if (t->queues[i].is_there)
            t->queues[kept++] = t->queues[i];
        else
            mem_free(t->queues[i].name);
    t->queue_count = kept;
}

static int look_at_queues(top *t, asynq_error *error)
{
    asynq_name_list names;
    int64_t now_ms = clock_steady_ms();
    double seconds = (double)(now_ms - t->sampled_at_ms) / MS_PER_SECOND;
    int status = asynq_inspector_queues(t->inspector, &names, error);
    if (status)
        return status;
    for (size_t i = 0; i < t->queue_count; i++)
        t->queues[i].is_there = false;
    for (size_t i = 0; i < names.count && !status; i++) {
        asynq_queue_info info;
        status = asynq_inspector_queue(t->inspector, names.names[i], &info, error);
        if (status == ASYNQ_E_QUEUE_NOT_FOUND) {
            status = ASYNQ_OK;
            continue; /* deleted meanwhile */
        }
        top_queue *queue = find_queue(t, names.names[i]);
        if (!status)
            top_model_take_sample(queue ? queue : add_queue(t, names.names[i]), &info, seconds);
    }
    asynq_name_list_free(&names);
    if (status)
        return status;
    drop_gone(t);
    if (t->queue_count)
        qsort(t->queues, t->queue_count, sizeof *t->queues, top_model_compare_queues);
    t->sampled_at_ms = now_ms;
    return status;
}

/* ---- the rest ---- */

static int look_at_tasks(top *t, asynq_error *error)
{
    if (t->state == ASYNQ_STATE_AGGREGATING && !t->group)
        return asynq_inspector_groups(t->inspector, t->queue, &t->groups, error);
    return asynq_inspector_list(t->inspector, &(asynq_task_set){t->queue, t->state, t->group},
                                &(asynq_page){t->page, t->page_size}, &t->tasks, error);
}

static size_t count_server_rows(const top *t)
{
    size_t rows = 0;
    for (size_t i = 0; i < t->servers.count; i++)
        rows += 1 + t->servers.servers[i].worker_count;
    return rows;
}

static int look_at_view(top *t, asynq_error *error)
{
    int status = ASYNQ_OK;
    switch (t->view) {
    case TOP_TASKS:
        status = look_at_tasks(t, error);
        t->rows = t->tasks.count + t->groups.count;
        break;
    case TOP_TASK:
        status = asynq_inspector_task(t->inspector, t->queue, t->id, &t->task, error);
        t->rows = 0;
        break;
    default:
        t->rows = t->view == TOP_QUEUES ? t->queue_count : count_server_rows(t);
    }
    return status == ASYNQ_E_QUEUE_NOT_FOUND || status == ASYNQ_E_TASK_NOT_FOUND ? ASYNQ_OK
                                                                                 : status; /* an empty list says it */
}

static void forget_lists(top *t)
{
    asynq_task_list_free(&t->tasks);
    asynq_group_list_free(&t->groups);
    asynq_task_list_free(&t->task);
    asynq_server_list_free(&t->servers);
    t->tasks = t->task = (asynq_task_list){0};
    t->groups = (asynq_group_list){0};
    t->servers = (asynq_server_list){0};
}

void top_look(top *t)
{
    asynq_error error = {0};
    forget_lists(t);
    int status = look_at_queues(t, &error);
    if (!status)
        status = asynq_inspector_servers(t->inspector, &t->servers, &error);
    if (!status)
        status = look_at_view(t, &error);
    if (status && !t->lost.code)
        t->lost_at_ms = clock_now_ns() / NS_PER_MS;
    t->lost = status ? error : (asynq_error){0};
    if (status)
        t->sampled_at_ms = 0; /* counters may have moved for long: the next rate would be wrong */
    if (t->selected[t->view] >= t->rows)
        t->selected[t->view] = t->rows ? t->rows - 1 : 0;
}

void top_forget(top *t)
{
    forget_lists(t);
    for (size_t i = 0; i < t->queue_count; i++)
        mem_free(t->queues[i].name);
    mem_free(t->queues);
    mem_free(t->queue);
    mem_free(t->group);
    mem_free(t->id);
}

/* ---- what is selected ---- */

const top_queue *top_selected_queue(const top *t)
{
    size_t row = t->selected[TOP_QUEUES];
    return t->view == TOP_QUEUES && row < t->queue_count ? &t->queues[row] : NULL;
}

const asynq_task_info *top_selected_task(const top *t)
{
    size_t row = t->selected[TOP_TASKS];
    if (t->view == TOP_TASK)
        return t->task.count ? &t->task.tasks[0] : NULL;
    return t->view == TOP_TASKS && row < t->tasks.count ? &t->tasks.tasks[row] : NULL;
}

const asynq_group_info *top_selected_group(const top *t)
{
    size_t row = t->selected[TOP_TASKS];
    return t->view == TOP_TASKS && row < t->groups.count ? &t->groups.groups[row] : NULL;
}

const asynq_worker_info *top_selected_worker(const top *t)
{
    size_t row = t->selected[TOP_SERVERS];
    if (t->view != TOP_SERVERS)
        return NULL;
    for (size_t i = 0; i < t->servers.count; i++) {
        const asynq_server_info *server = &t->servers.servers[i];
        if (row == 0)
            return NULL;
        if (row <= server->worker_count)
            return &server->workers[row - 1];
        row -= 1 + server->worker_count;
    }
    return NULL;
}
