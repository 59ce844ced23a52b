/* Writing a task as it was. */
#include "inspect/inspect.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"
#include "base/text.h"
#include "broker/publish.h"
#include "wire/task_message.h"

static int encode_with_headers(const asynq_task_info *task, arena *scratch, buf *out, asynq_error *error)
{
    task_header *headers = arena_alloc(scratch, (task->header_count + 1) * sizeof *headers);
    if (!headers)
        return record_failure(scratch, error);
    for (size_t i = 0; i < task->header_count; i++)
        headers[i] = (task_header){bytes_of(task->headers[i].key), bytes_of(task->headers[i].value)};
    task_message message = {
        .type = bytes_of(task->type),
        .payload = {task->payload, task->payload_length},
        .id = bytes_of(task->id),
        .queue = bytes_of(task->queue),
        .retry = task->max_retry,
        .retried = task->retried,
        .error_msg = bytes_of(task->last_error),
        .timeout = seconds_up_of_ms(task->timeout_ms),
        .deadline = seconds_up_of_ms(task->deadline_ms),
        .unique_key = bytes_of(task->unique_key),
        .last_failed_at = seconds_up_of_ms(task->last_failed_at_ms),
        .retention = seconds_up_of_ms(task->retention_ms),
        .completed_at = seconds_up_of_ms(task->completed_at_ms),
        .group_key = bytes_of(task->group),
        .headers = headers,
        .header_count = task->header_count,
    };
    int status = task_headers_normalize(headers, &message.header_count, scratch, error);
    return status ? status : task_message_encode(&message, out, error);
}

static int encode(const asynq_task_info *task, buf *out, asynq_error *error)
{
    arena scratch;
    arena_init(&scratch, 0);
    int status = encode_with_headers(task, &scratch, out, error);
    arena_clear(&scratch);
    return status;
}

static int restore_check(const asynq_task_info *task, asynq_error *error)
{
    if (!task->id || !*task->id)
        return error_set(error, ASYNQ_E_INVALID, "the task has no id");
    if (!task->type || text_is_blank(task->type, strlen(task->type)))
        return error_set(error, ASYNQ_E_INVALID, "task \"%.150s\" has no type", task->id);
    if (task->state == ASYNQ_STATE_AGGREGATING && (!task->group || !*task->group))
        return error_set(error, ASYNQ_E_INVALID, "task \"%.150s\" is aggregating, but has no group", task->id);
    return ASYNQ_OK;
}

static int publish(asynq_inspector *inspector, const queue_keys *keys, asynq_error *error)
{
    inspect_call call = inspect_begin(inspector, INSPECT_READ, error); /* may be repeated */
    while (inspect_again(&call))
        call.sent = broker_publish_queue(&inspector->broker, keys->queue, inspect_replied, inspector);
    return call.status;
}

static int write_task(asynq_inspector *inspector, const queue_keys *keys, const asynq_task_info *task, bytes message,
                      asynq_error *error)
{
    buf group_key;
    restored_task restored = {.id = bytes_of(task->id), .message = message};
    asynq_state state = task->state == ASYNQ_STATE_ACTIVE ? ASYNQ_STATE_PENDING : task->state;
    int status =
        inspect_place(keys, &(asynq_task_set){task->queue, state, task->group}, &group_key, &restored.place, error);
    if (!status)
        status = publish(inspector, keys, error);
    if (!status) {
        bool is_due = state == ASYNQ_STATE_SCHEDULED || state == ASYNQ_STATE_RETRY;
        bool is_known = task->state == ASYNQ_STATE_PENDING && task->since_ms > 0;
        restored.at_ms = is_due ? task->next_process_at_ms : task->since_ms;
        restored.pending_since_ns = is_known ? ns_of_ms(task->since_ms) : clock_now_ns();
        restored.state = bytes_of(asynq_state_name(state));
        restored.result = (bytes){task->result, task->result_length};
        restored.group = bytes_of(task->group);
        inspect_call call = inspect_begin(inspector, INSPECT_CHANGE, error);
        while (inspect_again(&call))
            call.sent = broker_restore(&inspector->broker, keys, &restored, inspect_replied, inspector);
        status = call.status;
        if (!status && redis_value_integer(call.reply) == 0)
            status = error_set(error, ASYNQ_E_CONFLICT, "task \"%.150s\" exists already", task->id);
    }
    buf_clear(&group_key);
    return status;
}

int asynq_inspector_restore(asynq_inspector *inspector, const asynq_task_info *task, asynq_error *error)
{
    queue_keys keys;
    buf message;
    int status = restore_check(task, error);
    if (!status)
        status = inspect_keys(inspector, &keys, task->queue, error);
    if (status)
        return status;
    buf_init(&message, 0);
    status = encode(task, &message, error);
    if (!status && buf_failed(&message))
        status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status)
        status = write_task(inspector, &keys, task, (bytes){message.data, message.length}, error);
    buf_clear(&message);
    queue_keys_clear(&keys);
    return status;
}
