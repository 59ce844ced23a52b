/* Listing tasks: by page, and all of a set in constant memory. */
#include "inspect/inspect.h"

#include "base/clock.h"
#include "base/error.h"
#include "inspect/progress.h"

#include <fnmatch.h>

enum {
    WALK_MAX_TASKS = 100,          /* in one script */
    WALK_CHUNK_BYTES = 512 * 1024, /* that an answer should not exceed much */
    WALK_FIRST_TASKS = 10,         /* before the size of messages is known */
    PAGE_DEFAULT_SIZE = 30,
    PAGE_MAX_TASKS = 1000000 /* whoever wants everything visits it */
};

int walk_begin(walk *w, asynq_inspector *inspector, const asynq_task_set *set, const asynq_walk_options *options,
               asynq_error *error)
{
    *w = (walk){.inspector = inspector, .state = set->state, .max = WALK_FIRST_TASKS};
    if (options)
        w->options = *options;
    if (w->options.filter)
        w->filter = *w->options.filter;
    if (w->options.passed_over)
        *w->options.passed_over = 0;
    int status = inspect_queue_keys(inspector, &w->keys, set->queue, error);
    if (status)
        return status;
    status = inspect_place(&w->keys, set, &w->group_key, &w->place, error);
    if (status)
        walk_end(w);
    return status;
}

void walk_end(walk *w)
{
    queue_keys_clear(&w->keys);
    buf_clear(&w->group_key);
}

int walk_count(walk *w, asynq_error *error)
{
    const bytes words[] = {bytes_of(w->place.is_list ? "LLEN" : "ZCARD"), w->place.key};
    const redis_value *reply;
    int status = inspect_command(w->inspector, INSPECT_READ, words, 2, &reply, error);
    if (!status)
        w->total = redis_value_integer(reply);
    return status;
}

bool walk_go_on(walk *w, size_t passed)
{
    w->seen += (int64_t)passed;
    int64_t total = w->seen > w->total ? w->seen : w->total;
    return !w->options.progress || w->options.progress(w->seen, total, w->options.progress_arg);
}

/* ---- filters ---- */

static bool contains(const void *text, size_t length, const char *part)
{
    return memmem(text, length, part, strlen(part)) != NULL;
}

static bool texts_match(const asynq_task_filter *filter, const asynq_task_info *task)
{
    return (!filter->type || fnmatch(filter->type, task->type, 0) == 0) &&
           (!filter->id || fnmatch(filter->id, task->id, 0) == 0) &&
           (!filter->error || contains(task->last_error, strlen(task->last_error), filter->error)) &&
           (!filter->payload || contains(task->payload, task->payload_length, filter->payload));
}

/* 0: not known, for instance of a task that Go gave back to its queue. It may be old or new, so it is neither. */
static int64_t walk_time_of(const asynq_task_info *task)
{
    bool has_due_time = task->state == ASYNQ_STATE_SCHEDULED || task->state == ASYNQ_STATE_RETRY;
    int64_t at_ms = has_due_time ? task->next_process_at_ms : task->since_ms;
    return at_ms > 0 ? at_ms : 0;
}

bool walk_accepts(walk *w, const asynq_task_info *task)
{
    const asynq_task_filter *filter = &w->filter;
    int64_t at_ms = walk_time_of(task);
    if (!texts_match(filter, task))
        return false;
    if (!at_ms && (filter->from_ms || filter->until_ms)) {
        if (w->options.passed_over)
            ++*w->options.passed_over;
        return false;
    }
    return (!filter->from_ms || at_ms >= filter->from_ms) && (!filter->until_ms || at_ms < filter->until_ms);
}

/* ---- reading ---- */

static size_t walk_bytes_in(const redis_value *reply)
{
    size_t sum = 0;
    for (size_t i = 0; i < reply->count; i++)
        sum += reply->elements[i].text.length;
    return sum;
}

/* Reads at most `list->count` tasks. The reply lives until the next command. */
static int walk_read(walk *w, list_call *list, const redis_value **reply, asynq_error *error)
{
    list->place = w->place;
    if (list->count > w->max)
        list->count = w->max;
    inspect_call call = inspect_begin(w->inspector, INSPECT_READ, error);
    while (inspect_again(&call))
        call.sent = broker_list_tasks(&w->inspector->broker, &w->keys, list, inspect_replied, w->inspector);
    if (call.status)
        return call.status;
    *reply = call.reply;
    size_t found = broker_listed_count(call.reply);
    if (found) {
        int64_t fit = (int64_t)(WALK_CHUNK_BYTES / (walk_bytes_in(call.reply) / found + 1));
        w->max = fit < 1 ? 1 : fit < WALK_MAX_TASKS ? fit : WALK_MAX_TASKS;
    }
    return ASYNQ_OK;
}

/* ---- a page ---- */

typedef struct page_reader {
    walk *walk;
    arena *into;
    asynq_task_info *tasks;
    size_t count, capacity;
} page_reader;

/* A task whose message cannot be read is left out, as Go does; one without any stays, empty. */
static int page_add(page_reader *page, const listed_task *listed, asynq_error *error)
{
    page->tasks = arena_grow(page->into, page->tasks, page->count, &page->capacity, sizeof *page->tasks);
    asynq_task_info *task = page->tasks ? &page->tasks[page->count] : NULL;
    if (!task || !inspect_task(&page->walk->keys, page->walk->state, listed, clock_now_ns(), page->into, task))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    page->count += task->is_readable || !listed->message.data;
    return ASYNQ_OK;
}

static int walk_page_read(page_reader *page, int64_t first, int64_t size, asynq_error *error)
{
    for (int64_t at = 0; at < size;) {
        const redis_value *reply;
        list_call list = {.oldest_first = true, .first = first + at, .count = size - at};
        int status = walk_read(page->walk, &list, &reply, error);
        if (status)
            return status;
        size_t found = broker_listed_count(reply);
        for (size_t i = 0; i < found && !status; i++) {
            listed_task listed = broker_listed_at(reply, i);
            status = page_add(page, &listed, error);
        }
        if (status || !found)
            return status;
        at += (int64_t)found;
    }
    return ASYNQ_OK;
}

int asynq_inspector_list(asynq_inspector *inspector, const asynq_task_set *set, const asynq_page *page,
                         asynq_task_list *list, asynq_error *error)
{
    walk w;
    *list = (asynq_task_list){0};
    int64_t size = page && page->size ? page->size : PAGE_DEFAULT_SIZE;
    int64_t number = page && page->number ? page->number : 1;
    if (size < 0 || size > PAGE_MAX_TASKS || number < 0 || number > INT64_MAX / PAGE_MAX_TASKS)
        return error_set(error, ASYNQ_E_INVALID, "a page has 1 to %d tasks, and its number is from 1 on",
                         PAGE_MAX_TASKS);
    int status = walk_begin(&w, inspector, set, NULL, error);
    if (status)
        return status;
    asynq_memory *memory = inspect_memory_new();
    page_reader reader = {.walk = &w, .into = memory ? &memory->arena : NULL};
    status =
        memory ? walk_page_read(&reader, size * (number - 1), size, error) : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (status)
        inspect_memory_free(memory);
    else
        *list = (asynq_task_list){reader.tasks, reader.count, memory};
    walk_end(&w);
    if (!status && set->state == ASYNQ_STATE_ACTIVE)
        status = progress_fill_in(inspector, list, error);
    return status;
}

/* ---- a whole set ---- */

/* Where the next chunk begins: behind the tasks of the one before. */
typedef struct walk_position {
    int64_t rank;
    arena memory;
    bytes ids[WALK_MAX_TASKS];
    size_t count;
    bytes score; /* of the last one */
} walk_position;

static bool walk_keep(walk_position *at, bytes text, bytes *kept)
{
    *kept = (bytes){arena_dup(&at->memory, text.data, text.length), text.length};
    return kept->data != NULL;
}

/* False: out of memory. */
static bool position_behind(walk_position *at, const redis_value *reply)
{
    size_t count = broker_listed_count(reply);
    arena_reset(&at->memory);
    at->rank = broker_listed_first(reply) + (int64_t)count;
    at->count = count < WALK_MAX_TASKS ? count : WALK_MAX_TASKS;
    for (size_t i = 0; i < at->count; i++)
        if (!walk_keep(at, broker_listed_at(reply, count - at->count + i).id, &at->ids[i]))
            return false;
    return walk_keep(at, broker_listed_at(reply, count - 1).score_text, &at->score);
}

/* Converts a chunk into tasks. NULL: out of memory. */
static asynq_task_info *walk_convert(walk *w, const redis_value *reply, arena *into)
{
    size_t count = broker_listed_count(reply);
    asynq_task_info *tasks = arena_alloc(into, count * sizeof *tasks);
    for (size_t i = 0; tasks && i < count; i++) {
        listed_task listed = broker_listed_at(reply, i);
        if (!inspect_task(&w->keys, w->state, &listed, clock_now_ns(), into, &tasks[i]))
            return NULL;
    }
    return tasks;
}

/* One chunk. `*more` says whether there was one and the visitor wants the next. */
static int walk_step(walk *w, walk_position *at, arena *chunk, walk_cb visit, void *arg, bool *more, asynq_error *error)
{
    const redis_value *reply;
    list_call list = {
        .first = at->rank,
        .count = WALK_MAX_TASKS,
        .after = at->ids,
        .after_count = at->count,
        .after_score = at->score,
    };
    *more = false;
    int status = walk_read(w, &list, &reply, error);
    size_t count = status ? 0 : broker_listed_count(reply);
    if (!count)
        return status;
    const asynq_task_info *tasks = walk_convert(w, reply, chunk);
    if (!tasks || !position_behind(at, reply))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    w->rank = at->rank - (int64_t)count;
    walk_answer answer = visit(arg, tasks, count, error);
    at->rank -= (int64_t)answer.removed; /* what is behind has moved up */
    *more = !answer.status && !answer.stop && walk_go_on(w, count);
    return answer.status;
}

int walk_each(walk *w, walk_cb visit, void *arg, asynq_error *error)
{
    walk_position at = {0};
    arena chunk;
    bool more = true;
    int status = ASYNQ_OK;
    arena_init(&at.memory, 0);
    arena_init(&chunk, 0);
    while (more && !status) {
        arena_reset(&chunk);
        status = walk_step(w, &at, &chunk, visit, arg, &more, error);
    }
    arena_clear(&chunk);
    arena_clear(&at.memory);
    return status;
}

typedef struct visitor {
    walk *walk;
    asynq_task_cb visit;
    void *arg;
} visitor;

static walk_answer visit_chunk(void *arg, const asynq_task_info *tasks, size_t count, asynq_error *error)
{
    visitor *v = arg;
    (void)error;
    for (size_t i = 0; i < count; i++)
        if (walk_accepts(v->walk, &tasks[i]) && !v->visit(&tasks[i], v->arg))
            return (walk_answer){.stop = true};
    return (walk_answer){0};
}

int asynq_inspector_each(asynq_inspector *inspector, const asynq_task_set *set, const asynq_walk_options *options,
                         asynq_task_cb visit, void *arg, asynq_error *error)
{
    walk w;
    visitor v = {&w, visit, arg};
    int status = walk_begin(&w, inspector, set, options, error);
    if (status)
        return status;
    status = walk_count(&w, error);
    if (!status)
        status = walk_each(&w, visit_chunk, &v, error);
    walk_end(&w);
    return status;
}
