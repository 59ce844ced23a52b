/* See plan.h. */
#include "client/plan.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"
#include "client/task_option.h"
#include "wire/task_id.h"
#include "wire/task_message.h"

#include <inttypes.h>

enum { DEFAULT_MAX_RETRY = 25, DEFAULT_TIMEOUT_S = 1800 };

/* What ASYNQ_NONE stores as timeout: 100 years. Go reads 0 as "30 minutes" when there is no deadline either. */
#define NO_TIMEOUT_S INT64_C(3153600000)

/* Go saturates the life of a lock at this many seconds. */
#define LOCK_LIFE_MAX_S INT64_C(9223372036)

/* The last millisecond of the year 9999, the last that RFC 3339 can write. */
#define LAST_PROCESS_AT_MS INT64_C(253402300799999)

static const char default_queue[] = "default";

static int64_t or_zero(int64_t value)
{
    return value == ASYNQ_NONE ? 0 : value;
}

static int check_process_time(const asynq_task_options *options, int64_t now_ns, asynq_error *error)
{
    if (options->process_at_ms && options->process_in_ms)
        return error_set(error, ASYNQ_E_INVALID, "process_at_ms and process_in_ms are both set; give one of them");
    if (options->process_at_ms > LAST_PROCESS_AT_MS)
        return error_set(error, ASYNQ_E_INVALID, "process_at_ms lies beyond the year 9999");
    if (options->process_in_ms > LAST_PROCESS_AT_MS - ceil_div(now_ns, NS_PER_MS))
        return error_set(error, ASYNQ_E_INVALID, "process_in_ms leads beyond the year 9999");
    return ASYNQ_OK;
}

/* Redis takes arguments of up to 512 MB; a client that sends more loses its connection. */
#define PLAN_MAX_PAYLOAD (((size_t)512 << 20) - ((size_t)1 << 20))

static int check_payload(const asynq_task *task, asynq_error *error)
{
    if (!task->payload && task->payload_length)
        return error_set(error, ASYNQ_E_INVALID, "payload is NULL but payload_length is %zu", task->payload_length);
    if (task->payload_length > PLAN_MAX_PAYLOAD)
        return error_set(error, ASYNQ_E_INVALID, "the payload has %zu bytes; at most %zu fit into Redis",
                         task->payload_length, PLAN_MAX_PAYLOAD);
    return ASYNQ_OK;
}

/* What each option says, and what they say together. The name of the queue is there. */
static int check_task(const asynq_task *task, const asynq_task_options *options, int64_t now_ns, asynq_error *error)
{
    static const char blank[] = "task typename cannot be empty";
    int status = task->type ? task_name_check("task typename", blank, task->type, ASYNQ_NAME_MAX, error)
                            : error_set(error, ASYNQ_E_INVALID, "%s", blank);
    if (!status)
        status = task_options_check(options, error);
    if (!status)
        status = check_process_time(options, now_ns, error);
    return status ? status : check_payload(task, error);
}

/* Spec 6.4, step 3; but Go cuts seconds off, so that its timeout below a second is none. */
static void set_limits(task_message *message, const asynq_task_options *options)
{
    int64_t deadline_ms = or_zero(options->deadline_ms);
    message->deadline = seconds_up_of_ms(deadline_ms);
    if (options->timeout_ms == ASYNQ_NONE)
        message->timeout = deadline_ms ? 0 : NO_TIMEOUT_S;
    else if (options->timeout_ms == 0)
        message->timeout = deadline_ms ? 0 : DEFAULT_TIMEOUT_S;
    else
        message->timeout = seconds_up_of_ms(options->timeout_ms);
}

static int32_t stored_max_retry(int64_t wish)
{
    return wish == 0 ? DEFAULT_MAX_RETRY : wish < 0 ? 0 : (int32_t)wish;
}

static int merge_headers(task_message *message, const asynq_task_options *own, const asynq_task_options *over,
                         arena *scratch, asynq_error *error)
{
    size_t count = own->header_count + (over ? over->header_count : 0);
    task_header *headers = arena_alloc(scratch, (count + 1) * sizeof *headers);
    if (!headers)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; i < count; i++) {
        const asynq_header *header = i < own->header_count ? &own->headers[i] : &over->headers[i - own->header_count];
        if (!header->key)
            return error_set(error, ASYNQ_E_INVALID, "header %zu has no key", i);
        headers[i] = (task_header){bytes_of(header->key), bytes_of(header->value ? header->value : "")};
    }
    message->headers = headers;
    message->header_count = count;
    return task_headers_normalize(headers, &message->header_count, scratch, error);
}

/* When the task is to run, if that is later than now; 0: at once. */
static int64_t later_ms(const asynq_task_options *options, int64_t now_ns)
{
    if (options->process_in_ms > 0)
        return ceil_div(now_ns, NS_PER_MS) + options->process_in_ms;
    return options->process_at_ms > floor_div(now_ns, NS_PER_MS) ? options->process_at_ms : 0;
}

/* The lock lives for `unique_ms` after the task can run. */
static int64_t lock_life_s(int64_t unique_ms, int64_t at_ms, int64_t now_ns)
{
    int64_t ahead_ms = at_ms ? at_ms - ceil_div(now_ns, NS_PER_MS) : 0;
    int64_t life_s = seconds_up_of_ms(saturating_add(unique_ms, ahead_ms));
    return life_s < LOCK_LIFE_MAX_S ? life_s : LOCK_LIFE_MAX_S;
}

/* Spec 6.4, step 6: a future process time wins over a group. */
static void choose_destination(task_plan *plan, const asynq_task_options *options, int64_t now_ns)
{
    int64_t at_ms = later_ms(options, now_ns);
    enqueue_item *item = &plan->item;
    if (at_ms) {
        item->kind = ENQUEUE_SCHEDULED;
        item->process_at_ms = plan->enqueued.next_process_at_ms = at_ms;
        plan->enqueued.state = ASYNQ_STATE_SCHEDULED;
    } else if (options->group) {
        item->kind = ENQUEUE_GROUPED;
        plan->enqueued.state = ASYNQ_STATE_AGGREGATING;
    } else {
        item->kind = ENQUEUE_PENDING;
        plan->enqueued.state = ASYNQ_STATE_PENDING;
        plan->enqueued.next_process_at_ms = floor_div(now_ns, NS_PER_MS);
    }
    if (or_zero(options->unique_ms))
        item->lock_life_s = lock_life_s(options->unique_ms, at_ms, now_ns);
}

static void report_stored(asynq_enqueued *enqueued, const task_message *message)
{
    memcpy(enqueued->id, message->id.data, message->id.length);
    enqueued->id[message->id.length] = '\0';
    enqueued->max_retry = message->retry;
    enqueued->timeout_ms = ms_of_seconds(message->timeout);
    enqueued->deadline_ms = ms_of_seconds(message->deadline);
    enqueued->retention_ms = ms_of_seconds(message->retention);
}

/* All bytes of the plan stand one behind the other in its storage: message, queue, group, lock (NULL: without). */
static int plan_store(task_plan *plan, task_message *message, const asynq_task *task, const key_space *lock_space,
                      asynq_error *error)
{
    buf lock;
    buf_init(&lock, 0);
    if (lock_space) {
        bytes payload = {task->payload, task->payload_length};
        key_append_lock(&lock, lock_space, message->queue, message->type, payload);
        message->unique_key = (bytes){lock.data, lock.length};
    }
    buf_init(&plan->storage, 0);
    int status = buf_failed(&lock) ? error_set_code(error, ASYNQ_E_NO_MEMORY)
                                   : task_message_encode(message, &plan->storage, error);
    size_t message_length = plan->storage.length;
    if (!status) {
        buf_append(&plan->storage, message->queue.data, message->queue.length);
        buf_append(&plan->storage, message->group_key.data, message->group_key.length);
        buf_append(&plan->storage, lock.data, lock.length);
        if (buf_failed(&plan->storage))
            status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    if (!status) {
        const char *at = plan->storage.data;
        plan->item.message = (bytes){at, message_length};
        plan->queue = (bytes){at += message_length, message->queue.length};
        plan->item.group = (bytes){at += message->queue.length, message->group_key.length};
        plan->item.lock = (bytes){at + message->group_key.length, lock.length};
    } else {
        buf_clear(&plan->storage);
    }
    buf_clear(&lock);
    return status == ASYNQ_E_MALFORMED ? (error ? error->code = ASYNQ_E_INVALID : ASYNQ_E_INVALID) : status;
}

int task_plan_make(task_plan *plan, const key_space *space, const asynq_task *task, const asynq_task_options *overrides,
                   int64_t now_ns, asynq_error *error)
{
    *plan = (task_plan){0};
    if (!task)
        return error_set(error, ASYNQ_E_INVALID, "task cannot be nil");
    asynq_task_options options = task_options_merge(&task->options, overrides);
    if (!options.queue)
        options.queue = default_queue;
    int status = check_task(task, &options, now_ns, error);
    if (status)
        return status;

    char id[TASK_ID_RANDOM_SIZE];
    if (!options.id) {
        task_id_make_random(id);
        options.id = id;
    }
    task_message message = {
        .type = bytes_of(task->type),
        .payload = {task->payload, task->payload_length},
        .id = bytes_of(options.id),
        .queue = bytes_of(options.queue),
        .retry = stored_max_retry(options.max_retry),
        .retention = seconds_up_of_ms(or_zero(options.retention_ms)),
        .group_key = bytes_of(options.group),
    };
    set_limits(&message, &options);

    arena scratch;
    arena_init(&scratch, 0);
    status = merge_headers(&message, &task->options, overrides, &scratch, error);
    if (!status)
        status = plan_store(plan, &message, task, or_zero(options.unique_ms) ? space : NULL, error);
    arena_clear(&scratch);
    if (!status) {
        report_stored(&plan->enqueued, &message);
        plan->item.id = bytes_of(plan->enqueued.id);
        choose_destination(plan, &options, now_ns);
    }
    return status;
}

void task_plan_clear(task_plan *plan)
{
    buf_clear(&plan->storage);
}
