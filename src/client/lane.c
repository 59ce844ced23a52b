/* See lane.h. */
#include "client/lane.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

/* The queue's name is registered again this often, because another process may have removed it (quirk Q-09). */
enum { LANE_PUBLISH_PERIOD_MS = 5000 };

lane_task *lane_task_new(void)
{
    return mem_calloc(1, sizeof(lane_task));
}

void lane_task_free(lane_task *task)
{
    task_plan_clear(&task->plan);
    mem_free(task);
}

void lane_task_finish(lane_task *task, int status, const char *text)
{
    if (status)
        error_set(&task->plan.enqueued.error, status, "%s", text);
    task->finished(task);
    lane_task_free(task);
}

lane *lane_new(lane_context *context, bytes queue)
{
    lane *l = mem_calloc(1, sizeof *l);
    if (!l)
        return NULL;
    if (queue_keys_init(&l->keys, queue)) {
        mem_free(l);
        return NULL;
    }
    l->context = context;
    l->end = &l->first;
    return l;
}

void lane_free(lane *l)
{
    queue_keys_clear(&l->keys);
    mem_free(l);
}

bool lane_is_idle(const lane *l)
{
    return !l->first && !l->chunk_count && !l->in_flight;
}

void lane_add(lane *l, lane_task *task)
{
    l->used_at_ms = loop_steady_ms(l->context->loop);
    task->next = NULL;
    *l->end = task;
    l->end = &task->next;
}

static lane_task *lane_take_first(lane *l)
{
    lane_task *task = l->first;
    l->first = task->next;
    if (!l->first)
        l->end = &l->first;
    return task;
}

static void lane_form_chunk(lane *l)
{
    size_t size = 0;
    while (l->first && l->chunk_count < BROKER_CHUNK_TASKS && (!l->chunk_count || size < BROKER_CHUNK_BYTES)) {
        lane_task *task = lane_take_first(l);
        size += task->plan.storage.length;
        l->chunk[l->chunk_count++] = task;
    }
    l->chunk_number = ++l->context->batch_number;
    l->chunk_is_repeat = false;
}

typedef struct result_row {
    enqueue_result result;
    int status;
} result_row;

static const result_row result_rows[] = {
    {ENQUEUE_CREATED, ASYNQ_OK},
    {ENQUEUE_CONFLICT, ASYNQ_E_CONFLICT},
    {ENQUEUE_DUPLICATE, ASYNQ_E_DUPLICATE},
};

static int status_of(int result)
{
    for (size_t i = 0; i < sizeof result_rows / sizeof *result_rows; i++)
        if ((int)result_rows[i].result == result)
            return result_rows[i].status;
    return ASYNQ_E_MALFORMED;
}

/* Ends the chunk; `reply` holds the results, or is NULL and all share `status`. */
static void lane_finish_chunk(lane *l, const redis_value *reply, int status, const char *text)
{
    size_t count = l->chunk_count;
    l->chunk_count = 0;
    for (size_t i = 0; i < count; i++) {
        int own = reply ? status_of(broker_result_at(reply, i)) : status;
        lane_task_finish(l->chunk[i], own, reply ? asynq_status_text(own) : text);
    }
}

static void lane_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    lane *l = arg;
    l->in_flight = false;
    if (!l->chunk_count) /* it was given up meanwhile */
        return;
    if (status == ASYNQ_E_UNAVAILABLE || status == ASYNQ_E_OUTCOME_UNKNOWN) {
        l->chunk_is_repeat |= status == ASYNQ_E_OUTCOME_UNKNOWN;
        l->context->retry_soon(l->context->arg);
        return;
    }
    if (!status && (reply->type != REDIS_ARRAY || reply->count != l->chunk_count))
        lane_finish_chunk(l, NULL, ASYNQ_E_MALFORMED, "Redis answered with something else than a result per task");
    else
        lane_finish_chunk(l, status ? NULL : reply, status, error ? error->text : NULL);
    lane_pump(l);
}

static int lane_publish(lane *l)
{
    int64_t now_ms = loop_steady_ms(l->context->loop);
    if (l->published_at_ms && now_ms - l->published_at_ms < LANE_PUBLISH_PERIOD_MS)
        return ASYNQ_OK;
    int status = broker_publish_queue(l->context->conn, l->keys.queue, NULL, NULL);
    if (!status)
        l->published_at_ms = now_ms;
    return status;
}

void lane_pump(lane *l)
{
    lane_context *context = l->context;
    if (l->in_flight || !redis_conn_is_ready(context->conn))
        return;
    if (!l->chunk_count && l->first)
        lane_form_chunk(l);
    if (!l->chunk_count)
        return;

    const enqueue_item *items[BROKER_CHUNK_TASKS];
    for (size_t i = 0; i < l->chunk_count; i++)
        items[i] = &l->chunk[i]->plan.item;
    enqueue_batch batch = {
        .items = items,
        .count = l->chunk_count,
        .now_ns = clock_now_ns(),
        .client_id = context->client_id,
        .number = l->chunk_number,
        .is_repeat = l->chunk_is_repeat,
    };
    int status = lane_publish(l);
    if (!status)
        status = broker_enqueue(context->conn, &l->keys, &batch, lane_replied, l);
    if (!status)
        l->in_flight = true;
    else if (status == ASYNQ_E_BUSY || status == ASYNQ_E_UNAVAILABLE)
        context->retry_soon(context->arg);
    else
        lane_finish_chunk(l, NULL, status, asynq_status_text(status));
}

static void lane_expire_waiting(lane *l, int64_t now_ms, const char *reason)
{
    lane_task *kept = NULL, **kept_end = &kept;
    while (l->first) {
        lane_task *task = lane_take_first(l);
        if (now_ms < task->give_up_at_ms) {
            task->next = NULL;
            *kept_end = task;
            kept_end = &task->next;
        } else {
            lane_task_finish(task, ASYNQ_E_UNAVAILABLE, reason);
        }
    }
    l->first = kept;
    l->end = kept ? kept_end : &l->first;
}

void lane_expire(lane *l, int64_t now_ms)
{
    const asynq_error *last = &l->context->last_error;
    char text[sizeof last->text + 64];
    snprintf(text, sizeof text, "Redis cannot be reached: %s", last->code ? last->text : "no answer in time");
    lane_expire_waiting(l, now_ms, text);

    int64_t latest_ms = 0;
    for (size_t i = 0; i < l->chunk_count; i++)
        if (l->chunk[i]->give_up_at_ms > latest_ms)
            latest_ms = l->chunk[i]->give_up_at_ms;
    if (!l->chunk_count || now_ms < latest_ms)
        return;
    if (l->in_flight || l->chunk_is_repeat) {
        snprintf(text, sizeof text, "the task may be enqueued or not: %s",
                 last->code ? last->text : "no answer in time");
        lane_finish_chunk(l, NULL, ASYNQ_E_OUTCOME_UNKNOWN, text);
    } else {
        lane_finish_chunk(l, NULL, ASYNQ_E_UNAVAILABLE, text);
    }
}

void lane_fail(lane *l, int status, const char *text)
{
    if (l->chunk_count && !l->in_flight)
        lane_finish_chunk(l, NULL, l->chunk_is_repeat ? ASYNQ_E_OUTCOME_UNKNOWN : status, text);
    while (l->first)
        lane_task_finish(lane_take_first(l), status, text);
}
