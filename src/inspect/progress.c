/* See progress.h. */
#include "inspect/progress.h"

#include "base/error.h"
#include "inspect/record.h"

#include <string.h>

double progress_fraction(const worker_info *worker)
{
    return worker->has_progress && worker->progress >= 0 && worker->progress <= 1 ? worker->progress : -1;
}

/* Bounds of an answer, which has the payloads, too. */
enum { CHUNK_TASKS = 100, CHUNK_BYTES = 512 * 1024 };

/* Some of the active tasks of a list, and a command that asks for them. */
typedef struct progress_search {
    asynq_memory *memory;
    asynq_task_info *tasks[CHUNK_TASKS];
    size_t count, payloads;
    const char *command[CHUNK_TASKS + 2]; /* HMGET, the record's name, their ids */
    bool failed;
} progress_search;

static bool search_is_full(const progress_search *s)
{
    return s->count == CHUNK_TASKS || s->payloads > CHUNK_BYTES;
}

static void search_add(progress_search *s, const asynq_task_info *task)
{
    s->payloads += task->payload_length;
    s->command[2 + s->count] = task->id;
    s->tasks[s->count++] = (asynq_task_info *)(uintptr_t)task; /* in `memory`, which is ours */
}

static int take_record(progress_search *s, asynq_task_info *task, bytes encoded, asynq_error *error)
{
    arena scratch;
    worker_info worker;
    record_arena_init(&scratch, encoded.length);
    int status = worker_info_decode(&worker, encoded, &scratch, NULL);
    if (!status && bytes_equal(worker.queue, bytes_of(task->queue))) {
        task->progress = progress_fraction(&worker);
        task->progress_text = inspect_copy(&s->memory->arena, worker.progress_text, &s->failed);
    }
    arena_clear(&scratch);
    return status ? inspect_left_out(status, error) : ASYNQ_OK;
}

static int take_records(void *arg, const redis_value *reply, asynq_error *error)
{
    progress_search *s = arg;
    int status = ASYNQ_OK;
    for (size_t i = 0; i < reply->count && i < s->count && !status; i++)
        if (reply->elements[i].type == REDIS_STRING)
            status = take_record(s, s->tasks[i], reply->elements[i].text, error);
    return status || !s->failed ? status : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

static int search_next(asynq_inspector *inspector, const asynq_task_list *list, size_t *at, asynq_error *error)
{
    progress_search s = {.memory = list->memory, .command = {"HMGET", NULL}};
    for (; *at < list->count && !search_is_full(&s); ++*at)
        if (list->tasks[*at].state == ASYNQ_STATE_ACTIVE)
            search_add(&s, &list->tasks[*at]);
    if (!s.count)
        return ASYNQ_OK;
    return inspect_each_record(inspector, GLOBAL_KEY_WORKERS, s.command, s.count + 2, take_records, &s, error);
}

int progress_fill_in(asynq_inspector *inspector, asynq_task_list *list, asynq_error *error)
{
    int status = ASYNQ_OK;
    for (size_t at = 0; at < list->count && !status;)
        status = search_next(inspector, list, &at, error);
    if (status) {
        inspect_memory_free(list->memory);
        *list = (asynq_task_list){0};
    }
    return status;
}
