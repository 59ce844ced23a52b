/* See lane.h. */
#include "client/lane.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

lane_task *lane_task_new(void)
{
    return mem_calloc(1, sizeof(lane_task));
}

void lane_task_free(lane_task *task)
{
    task_plan_clear(&task->plan);
    mem_free(task);
}

static void lane_task_report(lane_task *task, int status, const char *text)
{
    if (task->is_given_up)
        return;
    if (status)
        error_set(&task->plan.enqueued.error, status, "%s", text);
    task->is_given_up = true;
    task->finished(task);
}

void lane_task_finish(lane_task *task, int status, const char *text)
{
    lane_task_report(task, status, text);
    lane_task_free(task);
}

static void lane_published(void *arg, int status, const asynq_error *error);

lane *lane_new(lane_context *context, bytes queue)
{
    lane *l = mem_calloc(1, sizeof *l);
    if (!l)
        return NULL;
    if (queue_keys_init(&l->keys, context->broker.space, queue)) {
        mem_free(l);
        return NULL;
    }
    l->context = context;
    l->end = &l->first;
    l->publication = (queue_publication){.told = lane_published, .arg = l};
    for (int i = 0; i < LANE_CHUNKS; i++)
        l->chunks[i].lane = l;
    return l;
}

void lane_free(lane *l)
{
    queue_keys_clear(&l->keys);
    mem_free(l);
}

bool lane_is_idle(const lane *l)
{
    for (int i = 0; i < LANE_CHUNKS; i++)
        if (l->chunks[i].count || l->chunks[i].in_flight)
            return false;
    return !l->first && !l->publication.in_flight;
}

void lane_add(lane *l, lane_task *task)
{
    l->used_at_ms = loop_steady_ms(l->context->loop);
    task->next = NULL;
    *l->end = task;
    l->end = &task->next;
    l->waiting++;
    l->waiting_bytes += task->plan.storage.length;
}

static lane_task *lane_take_first(lane *l)
{
    lane_task *task = l->first;
    l->first = task->next;
    if (!l->first)
        l->end = &l->first;
    l->waiting--;
    l->waiting_bytes -= task->plan.storage.length;
    return task;
}

static void chunk_form(lane_chunk *chunk)
{
    lane *l = chunk->lane;
    size_t size = 0;
    while (l->first && chunk->count < BROKER_CHUNK_TASKS && (!chunk->count || size < BROKER_CHUNK_BYTES)) {
        lane_task *task = lane_take_first(l);
        size += task->plan.storage.length;
        chunk->tasks[chunk->count++] = task;
    }
    chunk->number = ++l->context->batch_number;
    chunk->is_repeat = false;
}

/* Takes the tasks out of the chunk, whose place is free for others. Returns how many. */
static size_t chunk_empty(lane_chunk *chunk, lane_task **tasks)
{
    size_t count = chunk->count;
    memcpy(tasks, chunk->tasks, count * sizeof *tasks);
    chunk->count = 0;
    return count;
}

/* Ends the chunk: all of it has this status. */
static void chunk_fail(lane_chunk *chunk, int status, const char *text)
{
    lane_task *tasks[BROKER_CHUNK_TASKS];
    size_t count = chunk_empty(chunk, tasks);
    for (size_t i = 0; i < count; i++)
        lane_task_finish(tasks[i], status, text);
}

/*
 * Ends the chunk: each task has its result. `lack`: why those that were created are not as durable as wished; NULL:
 * they are. The next chunk goes out first, so that Redis works while callers are told.
 */
static void chunk_finish(lane_chunk *chunk, int replicas, const char *lack)
{
    lane_task *tasks[BROKER_CHUNK_TASKS];
    signed char results[BROKER_CHUNK_TASKS];
    memcpy(results, chunk->results, sizeof results);
    size_t count = chunk_empty(chunk, tasks);
    lane_pump(chunk->lane);
    redis_nodes_flush(chunk->lane->context->broker.nodes);
    for (size_t i = 0; i < count; i++) {
        int own = broker_enqueue_status(results[i]);
        tasks[i]->plan.enqueued.replicas = own ? 0 : replicas;
        if (!own && lack)
            lane_task_finish(tasks[i], ASYNQ_E_NOT_DURABLE, lack);
        else
            lane_task_finish(tasks[i], own, asynq_status_text(own));
    }
}

/* The chunk is with Redis no more, and is sent again. */
static void chunk_come_back(lane_chunk *chunk, int status, const asynq_error *error)
{
    lane_context *context = chunk->lane->context;
    chunk->is_repeat |= status == ASYNQ_E_OUTCOME_UNKNOWN;
    context->last_error = *error;
    context->retry_soon(context->arg);
}

/* An answer is here. False: the chunk was given up meanwhile; others may have waited for its place. */
static bool chunk_is_back(lane_chunk *chunk)
{
    chunk->in_flight = false;
    if (!chunk->count)
        lane_pump(chunk->lane);
    return chunk->count > 0;
}

/* ---- replicas ---- */

static void chunk_waited(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    lane_chunk *chunk = arg;
    lane *l = chunk->lane;
    const durable_wish *wish = &l->context->durable;
    char lack[160];
    int replicas = 0;
    if (!chunk_is_back(chunk))
        return;
    /* A repeat tells its results again, and writes: on a new connection WAIT knows of no write before. */
    if (redis_error_is_passing(status)) {
        chunk_come_back(chunk, ASYNQ_E_OUTCOME_UNKNOWN, error);
        return;
    }
    bool is_durable = !status && broker_durable_read(reply, wish, &replicas);
    if (status)
        snprintf(lack, sizeof lack, "the task is enqueued, but Redis would not wait: %.100s", error->text);
    else
        snprintf(lack, sizeof lack, "the task is enqueued, but %d of %d replicas%s have it after %" PRId64 " ms",
                 replicas, wish->replicas, wish->fsync ? " and disks" : "", wish->timeout_ms);
    chunk_finish(chunk, replicas, is_durable ? NULL : lack);
    lane_pump(l);
}

/* False: nobody is to be waited for. */
static bool chunk_wait(lane_chunk *chunk)
{
    lane *l = chunk->lane;
    bool has_created = false;
    for (size_t i = 0; i < chunk->count; i++)
        has_created |= chunk->results[i] == ENQUEUE_CREATED;
    if (!has_created || !durable_is_wished(&l->context->durable))
        return false;
    int status = broker_wait_durable(&l->context->broker, &l->keys, &l->context->durable, chunk_waited, chunk);
    asynq_error error;
    chunk->in_flight = !status;
    if (status) {
        error_set_code(&error, status);
        chunk_come_back(chunk, ASYNQ_E_OUTCOME_UNKNOWN, &error);
    }
    return true;
}

/* ---- answers ---- */

static void chunk_take_results(lane_chunk *chunk, const redis_value *reply)
{
    for (size_t i = 0; i < chunk->count; i++) {
        int result = broker_result_at(reply, i);
        chunk->results[i] = (signed char)(result >= SCHAR_MIN && result <= SCHAR_MAX ? result : SCHAR_MAX);
    }
    if (!chunk_wait(chunk))
        chunk_finish(chunk, 0, NULL);
}

static void chunk_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    lane_chunk *chunk = arg;
    lane *l = chunk->lane;
    if (!chunk_is_back(chunk))
        return;
    if (!status)
        error_clear(&l->context->last_error);
    if (redis_error_is_passing(status)) {
        chunk_come_back(chunk, status, error);
        return;
    }
    if (status)
        chunk_fail(chunk, status, error->text);
    else if (reply->type != REDIS_ARRAY || reply->count != chunk->count)
        chunk_fail(chunk, ASYNQ_E_MALFORMED, "Redis answered with something else than a result per task");
    else
        chunk_take_results(chunk, reply);
    lane_pump(l);
}

/* The queue's name is known, or cannot be made so. */
static void lane_published(void *arg, int status, const asynq_error *error)
{
    lane *l = arg;
    if (!status) {
        lane_pump(l);
    } else if (redis_error_is_passing(status)) {
        l->context->last_error = *error;
        l->context->retry_soon(l->context->arg);
    } else {
        lane_fail(l, status, error->text);
    }
}

/* False: nothing more can be sent now. */
static bool chunk_send(lane_chunk *chunk)
{
    lane *l = chunk->lane;
    lane_context *context = l->context;
    const enqueue_item *items[BROKER_CHUNK_TASKS];
    for (size_t i = 0; i < chunk->count; i++)
        items[i] = &chunk->tasks[i]->plan.item;
    enqueue_batch batch = {
        .items = items,
        .count = chunk->count,
        .now_ns = clock_now_ns(),
        .client_id = context->client_id,
        .number = chunk->number,
        .place = (int)(chunk - l->chunks),
        .is_repeat = chunk->is_repeat,
    };
    if (!broker_can_keep(&context->broker, l->keys.queue)) { /* before its name is listed */
        chunk_fail(chunk, ASYNQ_E_INVALID, BROKER_CANNOT_KEEP);
        return true;
    }
    int status = queue_publish(&l->publication, &context->broker, l->keys.queue, loop_steady_ms(context->loop));
    if (status == QUEUE_PUBLISHING)
        return false;
    if (!status)
        status = broker_enqueue(&context->broker, &l->keys, &batch, chunk_replied, chunk);
    chunk->in_flight = !status;
    if (status == ASYNQ_E_BUSY || status == ASYNQ_E_UNAVAILABLE) {
        context->retry_soon(context->arg);
        return false;
    }
    if (status)
        chunk_fail(chunk, status, asynq_status_text(status));
    return true;
}

/* The chunk to be sent next: the oldest that is not with Redis, or a new one; NULL if there is none. */
static lane_chunk *lane_next_chunk(lane *l)
{
    lane_chunk *next = NULL, *unused = NULL;
    size_t in_flight = 0;
    for (int i = 0; i < LANE_CHUNKS; i++) {
        lane_chunk *chunk = &l->chunks[i];
        in_flight += chunk->in_flight ? chunk->count : 0;
        if (!chunk->count && !chunk->in_flight)
            unused = chunk;
        else if (!chunk->in_flight && (!next || chunk->number < next->number))
            next = chunk;
    }
    bool is_worth_it = l->waiting >= in_flight || l->waiting_bytes >= BROKER_CHUNK_BYTES;
    if (next || !unused || !l->first || !is_worth_it)
        return next;
    chunk_form(unused);
    return unused;
}

void lane_pump(lane *l)
{
    lane_chunk *chunk;
    while (broker_has_queue(&l->context->broker, &l->keys) && (chunk = lane_next_chunk(l)))
        if (!chunk_send(chunk))
            return;
}

/* Why a task was not sent in its time: Redis could not be reached, or there were too many before it. */
static int lane_reason(const lane *l, const lane_task *task, int64_t now_ms, char *text, size_t size)
{
    const asynq_error *last = &l->context->last_error;
    if (last->code || !broker_has_queue(&l->context->broker, &l->keys)) {
        snprintf(text, size, "Redis cannot be reached: %.200s", last->code ? last->text : "no answer in time");
        return ASYNQ_E_UNAVAILABLE;
    }
    snprintf(text, size, "it waited in this client for %" PRId64 " ms, and %zu tasks of its queue still wait",
             now_ms - task->submitted_at_ms, l->waiting);
    return ASYNQ_E_BUSY;
}

/* Deadlines are in the order of submission, but for moments. */
static void lane_expire_waiting(lane *l, int64_t now_ms)
{
    char text[256];
    while (l->first && now_ms >= l->first->give_up_at_ms) {
        int status = lane_reason(l, l->first, now_ms, text, sizeof text);
        lane_task_finish(lane_take_first(l), status, text);
    }
}

/* What was sent stays in its chunk, which is sent again as it was; only its caller waits no longer. */
static void chunk_expire_sent(lane_chunk *chunk, int64_t now_ms)
{
    const asynq_error *last = &chunk->lane->context->last_error;
    size_t left = 0;
    char text[256];
    snprintf(text, sizeof text, "the task may be enqueued or not: %.200s",
             last->code ? last->text : "no answer in time");
    for (size_t i = 0; i < chunk->count; i++) {
        if (now_ms >= chunk->tasks[i]->give_up_at_ms)
            lane_task_report(chunk->tasks[i], ASYNQ_E_OUTCOME_UNKNOWN, text);
        left += !chunk->tasks[i]->is_given_up;
    }
    if (chunk->count && !left)
        chunk_fail(chunk, ASYNQ_E_OUTCOME_UNKNOWN, text);
}

static void chunk_expire_unsent(lane_chunk *chunk, int64_t now_ms)
{
    size_t kept = 0;
    char text[256];
    for (size_t i = 0; i < chunk->count; i++) {
        lane_task *task = chunk->tasks[i];
        if (now_ms < task->give_up_at_ms) {
            chunk->tasks[kept++] = task;
            continue;
        }
        int status = lane_reason(chunk->lane, task, now_ms, text, sizeof text);
        lane_task_finish(task, status, text);
    }
    chunk->count = kept;
}

void lane_expire(lane *l, int64_t now_ms)
{
    lane_expire_waiting(l, now_ms);
    for (int i = 0; i < LANE_CHUNKS; i++) {
        lane_chunk *chunk = &l->chunks[i];
        if (chunk->in_flight || chunk->is_repeat)
            chunk_expire_sent(chunk, now_ms);
        else
            chunk_expire_unsent(chunk, now_ms);
    }
}

void lane_fail(lane *l, int status, const char *text)
{
    for (int i = 0; i < LANE_CHUNKS; i++)
        if (l->chunks[i].count && !l->chunks[i].in_flight)
            chunk_fail(&l->chunks[i], l->chunks[i].is_repeat ? ASYNQ_E_OUTCOME_UNKNOWN : status, text);
    while (l->first)
        lane_task_finish(lane_take_first(l), status, text);
}
