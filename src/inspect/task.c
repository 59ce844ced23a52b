/* Tasks as a person sees them. */
#include "inspect/record.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"
#include "inspect/progress.h"
#include "wire/task_message.h"

#include <time.h>

/* name in Redis, container, its kind */
typedef struct state_row {
    const char *name;
    queue_key key;
    bool is_list;
} state_row;

static const state_row states[] = {
    [ASYNQ_STATE_ACTIVE] = {"active", QUEUE_KEY_ACTIVE, true},
    [ASYNQ_STATE_PENDING] = {"pending", QUEUE_KEY_PENDING, true},
    [ASYNQ_STATE_SCHEDULED] = {"scheduled", QUEUE_KEY_SCHEDULED, false},
    [ASYNQ_STATE_RETRY] = {"retry", QUEUE_KEY_RETRY, false},
    [ASYNQ_STATE_ARCHIVED] = {"archived", QUEUE_KEY_ARCHIVED, false},
    [ASYNQ_STATE_COMPLETED] = {"completed", QUEUE_KEY_COMPLETED, false},
    [ASYNQ_STATE_AGGREGATING] = {"aggregating", QUEUE_KEY_GROUP, false},
};

enum { STATES_END = sizeof states / sizeof *states };

const char *asynq_state_name(asynq_state state)
{
    return (int)state > 0 && (int)state < STATES_END ? states[state].name : "unknown";
}

bool asynq_state_from_name(const char *name, asynq_state *state)
{
    for (int i = 1; i < STATES_END; i++)
        if (strcmp(states[i].name, name) == 0) {
            *state = (asynq_state)i;
            return true;
        }
    return false;
}

int inspect_place(const queue_keys *keys, const asynq_task_set *set, buf *group_key, task_place *place,
                  asynq_error *error)
{
    buf_init(group_key, 0);
    if ((int)set->state <= 0 || (int)set->state >= STATES_END)
        return error_set(error, ASYNQ_E_INVALID, "%d is not the state of a task", (int)set->state);
    const state_row *row = &states[set->state];
    *place = (task_place){.key = keys->key[row->key], .is_list = row->is_list, .lease = bytes_of("")};
    if (set->state == ASYNQ_STATE_ACTIVE)
        place->lease = keys->key[QUEUE_KEY_LEASE];
    if (set->state != ASYNQ_STATE_AGGREGATING)
        return ASYNQ_OK;
    if (!set->group)
        return error_set(error, ASYNQ_E_INVALID, "aggregating tasks are listed by group; no group is given");
    buf_append(group_key, place->key.data, place->key.length);
    buf_append_text(group_key, set->group);
    if (buf_failed(group_key))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    place->key = (bytes){group_key->data, group_key->length};
    return ASYNQ_OK;
}

/* ---- from Redis to the caller ---- */

static const asynq_header *task_copy_headers(arena *into, const task_message *message, bool *failed)
{
    asynq_header *headers = arena_alloc(into, (message->header_count + 1) * sizeof *headers);
    if (!headers) {
        *failed = true;
        return NULL;
    }
    for (size_t i = 0; i < message->header_count; i++)
        headers[i] = (asynq_header){inspect_copy(into, message->headers[i].key, failed),
                                    inspect_copy(into, message->headers[i].value, failed)};
    return headers;
}

/* What the place where the task stands says of its time. */
static void fill_times(asynq_task_info *info, const listed_task *listed, int64_t now_ns)
{
    int64_t now_ms = floor_div(now_ns, NS_PER_MS);
    switch (info->state) {
    case ASYNQ_STATE_PENDING:
        info->next_process_at_ms = now_ms;
        info->since_ms = listed->pending_since / NS_PER_MS;
        break;
    case ASYNQ_STATE_SCHEDULED:
    case ASYNQ_STATE_RETRY:
        info->next_process_at_ms = ms_of_score(listed->score);
        break;
    case ASYNQ_STATE_ACTIVE:
        info->lease_ends_at_ms = ms_of_seconds(saturating_int(listed->lease));
        info->is_orphaned = listed->lease > 0 && saturating_int(listed->lease) <= floor_div(now_ns, NS_PER_SECOND);
        break;
    default:
        info->since_ms = ms_of_score(listed->score);
    }
}

bool inspect_task(const queue_keys *keys, asynq_state state, const listed_task *listed, int64_t now_ns, arena *into,
                  asynq_task_info *info)
{
    arena scratch;
    task_message message = {0};
    bool failed = false;
    record_arena_init(&scratch, listed->message.length);
    int status =
        listed->message.data ? task_message_decode(&message, listed->message, &scratch, NULL) : ASYNQ_E_NOT_FOUND;
    failed = status == ASYNQ_E_NO_MEMORY;
    if (status)
        message = (task_message){0};
    *info = (asynq_task_info){
        .id = inspect_copy(into, listed->id, &failed),
        .queue = inspect_copy(into, keys->queue, &failed),
        .type = inspect_copy(into, message.type, &failed),
        .payload = inspect_copy(into, message.payload, &failed),
        .payload_length = message.payload.length,
        .headers = task_copy_headers(into, &message, &failed),
        .header_count = message.header_count,
        .max_retry = message.retry,
        .retried = message.retried,
        .last_error = inspect_copy(into, message.error_msg, &failed),
        .last_failed_at_ms = ms_of_seconds(message.last_failed_at),
        .timeout_ms = ms_of_seconds(message.timeout),
        .deadline_ms = ms_of_seconds(message.deadline),
        .retention_ms = ms_of_seconds(message.retention),
        .completed_at_ms = ms_of_seconds(message.completed_at),
        .unique_key = inspect_copy(into, message.unique_key, &failed),
        .group = inspect_copy(into, message.group_key, &failed),
        .state = state,
        .is_readable = !status,
        .result = inspect_copy(into, listed->result, &failed),
        .result_length = listed->result.length,
        .progress = -1,
        .progress_text = "",
        .id_length = listed->id.length,
        .type_length = message.type.length,
        .losses = listed->losses,
    };
    fill_times(info, listed, now_ns);
    arena_clear(&scratch);
    return !failed;
}

/* ---- one task ---- */

static int task_read_task(asynq_inspector *inspector, const queue_keys *keys, const char *id, asynq_task_info *info,
                          arena *into, asynq_error *error)
{
    inspect_call call = inspect_begin(inspector, INSPECT_READ, error);
    while (inspect_again(&call))
        call.sent = broker_find_task(&inspector->broker, keys, bytes_of(id), inspect_replied, inspector);
    if (call.status)
        return call.status;
    found_task found;
    if (!broker_found_task(call.reply, &found))
        return error_set(error, ASYNQ_E_TASK_NOT_FOUND, "task \"%.150s\" not found", id);
    asynq_state state;
    if (!found.state.data || !asynq_state_from_name(found.state.data, &state))
        return error_set(error, ASYNQ_E_MALFORMED, "task \"%.100s\" has no state that is known: \"%.60s\"", id,
                         found.state.data ? found.state.data : "");
    found.task.id = bytes_of(id);
    if (!inspect_task(keys, state, &found.task, clock_now_ns(), into, info))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    return ASYNQ_OK;
}

static int task_of_queue(asynq_inspector *inspector, const queue_keys *keys, const char *id, asynq_task_list *list,
                         asynq_error *error)
{
    asynq_memory *memory = inspect_memory_new();
    asynq_task_info *info = memory ? arena_alloc(&memory->arena, sizeof *info) : NULL;
    int status = info ? task_read_task(inspector, keys, id, info, &memory->arena, error)
                      : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (status)
        inspect_memory_free(memory);
    else
        *list = (asynq_task_list){info, 1, memory};
    return status;
}

int asynq_inspector_task(asynq_inspector *inspector, const char *queue, const char *id, asynq_task_list *list,
                         asynq_error *error)
{
    queue_keys keys;
    *list = (asynq_task_list){0};
    int status = inspect_queue_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    status = task_of_queue(inspector, &keys, id, list, error);
    if (!status)
        status = progress_fill_in(inspector, list, error);
    queue_keys_clear(&keys);
    return status;
}

/* ---- waiting for an end ---- */

enum { WAIT_FIRST_PAUSE_MS = 2, WAIT_LONGEST_PAUSE_MS = 250 };

static bool has_ended(const asynq_task_info *task)
{
    return task->state == ASYNQ_STATE_COMPLETED || task->state == ASYNQ_STATE_ARCHIVED;
}

static void pause_ms(int64_t ms)
{
    struct timespec pause = {ms / MS_PER_SECOND, ms % MS_PER_SECOND * NS_PER_MS};
    nanosleep(&pause, NULL);
}

static int task_wait_for_end(asynq_inspector *inspector, const queue_keys *keys, const char *id, int64_t timeout_ms,
                             asynq_task_list *list, asynq_error *error)
{
    int64_t give_up_at_ms = saturating_add(clock_steady_ms(), timeout_ms);
    int64_t pause = WAIT_FIRST_PAUSE_MS;
    int status = task_of_queue(inspector, keys, id, list, error);
    while (!status && !has_ended(&list->tasks[0])) {
        asynq_state state = list->tasks[0].state;
        inspect_memory_free(list->memory);
        *list = (asynq_task_list){0};
        int64_t left = give_up_at_ms - clock_steady_ms();
        if (left <= 0)
            return error_set(error, ASYNQ_E_TIMEOUT, "task \"%.150s\" is still %s", id, asynq_state_name(state));
        pause_ms(pause < left ? pause : left);
        pause = 2 * pause < WAIT_LONGEST_PAUSE_MS ? 2 * pause : WAIT_LONGEST_PAUSE_MS;
        status = task_of_queue(inspector, keys, id, list, error);
        if (status == ASYNQ_E_TASK_NOT_FOUND) { /* it was there: done, and not kept */
            error_clear(error);
            return ASYNQ_OK;
        }
    }
    return status;
}

int asynq_inspector_wait(asynq_inspector *inspector, const char *queue, const char *id, int64_t timeout_ms,
                         asynq_task_list *list, asynq_error *error)
{
    queue_keys keys;
    *list = (asynq_task_list){0};
    int status = inspect_queue_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    status = task_wait_for_end(inspector, &keys, id, timeout_ms, list, error);
    queue_keys_clear(&keys);
    return status;
}

/* ---- updating ---- */

static int encode_with_payload(bytes before, bytes payload, buf *after, asynq_error *error)
{
    arena memory;
    task_message message;
    record_arena_init(&memory, before.length);
    int status = task_message_decode(&message, before, &memory, error);
    if (!status) {
        message.payload = payload;
        status = task_message_encode(&message, after, error);
    }
    arena_clear(&memory);
    return status;
}

static int replace_payload(asynq_inspector *inspector, const queue_keys *keys, const char *id, bytes payload,
                           asynq_error *error)
{
    inspect_call call = inspect_begin(inspector, INSPECT_READ, error);
    while (inspect_again(&call))
        call.sent = broker_find_task(&inspector->broker, keys, bytes_of(id), inspect_replied, inspector);
    if (call.status)
        return call.status;
    found_task found;
    if (!broker_found_task(call.reply, &found))
        return error_set(error, ASYNQ_E_TASK_NOT_FOUND, "task \"%.150s\" not found", id);
    if (!bytes_equal(found.state, bytes_of("scheduled")))
        return error_set(error, ASYNQ_E_STATE, "cannot update task \"%.100s\", which is not in scheduled state", id);
    buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    buf_append(&before, found.task.message.data, found.task.message.length);
    int status = encode_with_payload(found.task.message, payload, &after, error);
    if (!status && (buf_failed(&before) || buf_failed(&after)))
        status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status) {
        call = inspect_begin(inspector, INSPECT_CHANGE, error);
        while (inspect_again(&call))
            call.sent =
                broker_update_message(&inspector->broker, keys, bytes_of(id), (bytes){before.data, before.length},
                                      (bytes){after.data, after.length}, inspect_replied, inspector);
        status = call.status;
        int64_t result = status ? UPDATE_OK : redis_value_integer(call.reply);
        if (result == UPDATE_NO_TASK)
            status = error_set(error, ASYNQ_E_TASK_NOT_FOUND, "task \"%.150s\" not found", id);
        else if (result != UPDATE_OK)
            status =
                error_set(error, ASYNQ_E_STATE, "task \"%.100s\" has changed at the same moment; nothing is done", id);
    }
    buf_clear(&before);
    buf_clear(&after);
    return status;
}

int asynq_inspector_update_payload(asynq_inspector *inspector, const char *queue, const char *id, const void *payload,
                                   size_t length, asynq_error *error)
{
    queue_keys keys;
    int status = inspect_queue_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    status = replace_payload(inspector, &keys, id, (bytes){payload, length}, error);
    queue_keys_clear(&keys);
    return status;
}

int asynq_inspector_cancel(asynq_inspector *inspector, const char *id, asynq_error *error)
{
    const bytes words[] = {bytes_of("PUBLISH"), global_key_name(&inspector->space, GLOBAL_KEY_CANCEL), bytes_of(id)};
    const redis_value *reply;
    return inspect_command(inspector, INSPECT_CHANGE, words, 3, &reply, error);
}
