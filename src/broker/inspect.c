/* Looking at queues and moving tasks by hand. */
#include "broker/inspect.h"

#include "base/clock.h"
#include "broker/call.h"

/* ---- queues ---- */

int broker_queue_info(const broker *b, const queue_keys *keys, int64_t now_ns, broker_cb cb, void *arg)
{
    static const queue_key fixed[] = {
        QUEUE_KEY_PENDING,   QUEUE_KEY_ACTIVE, QUEUE_KEY_SCHEDULED, QUEUE_KEY_RETRY,     QUEUE_KEY_ARCHIVED,
        QUEUE_KEY_COMPLETED, QUEUE_KEY_GROUPS, QUEUE_KEY_PAUSED,    QUEUE_KEY_PROCESSED, QUEUE_KEY_FAILED,
    };
    redis_args *args = broker_script_args(b, SCRIPT_QUEUE_INFO, 13);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        redis_args_add(args, keys->key[fixed[i]]);
    broker_add_daily_key(args, keys->key[QUEUE_KEY_PROCESSED], now_ns);
    broker_add_daily_key(args, keys->key[QUEUE_KEY_FAILED], now_ns);
    redis_args_add(args, keys->key[QUEUE_KEY_AGGREGATION_SETS]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    return broker_call(b, args, cb, arg);
}

queue_counts broker_queue_counts(const redis_value *reply)
{
    int64_t at[14];
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        at[i] = redis_value_integer(redis_value_at(reply, i));
    return (queue_counts){
        .pending = at[0],
        .active = at[1],
        .scheduled = at[2],
        .retry = at[3],
        .archived = at[4],
        .completed = at[5],
        .groups = at[6],
        .paused = at[7] != 0,
        .processed_total = at[8],
        .failed_total = at[9],
        .processed = at[10],
        .failed = at[11],
        .next_pending_since_ns = at[12],
        .in_aggregation = at[13],
    };
}

int broker_queue_memory(const broker *b, const queue_keys *keys, int64_t tasks_in_groups, broker_cb cb, void *arg)
{
    static const queue_key containers[] = {
        QUEUE_KEY_PENDING,  QUEUE_KEY_ACTIVE,    QUEUE_KEY_SCHEDULED, QUEUE_KEY_RETRY,
        QUEUE_KEY_ARCHIVED, QUEUE_KEY_COMPLETED, QUEUE_KEY_GROUPS,
    };
    redis_args *args = broker_script_args(b, SCRIPT_QUEUE_MEMORY, 7);
    for (size_t i = 0; i < sizeof containers / sizeof *containers; i++)
        redis_args_add(args, keys->key[containers[i]]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add_integer(args, BROKER_MEMORY_SAMPLE_TASKS);
    redis_args_add_integer(args, BROKER_MEMORY_SAMPLE_GROUPS);
    redis_args_add_integer(args, tasks_in_groups);
    return broker_call(b, args, cb, arg);
}

int broker_group_sizes(const broker *b, const queue_keys *keys, bytes cursor, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_GROUP_SIZES, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add(args, cursor);
    redis_args_add_integer(args, BROKER_STEER_TASKS);
    return broker_call(b, args, cb, arg);
}

int broker_drop_queue(const broker *b, const queue_keys *keys, int64_t now_ns, broker_cb cb, void *arg)
{
    static const queue_key fixed[] = {
        QUEUE_KEY_PENDING,   QUEUE_KEY_ACTIVE, QUEUE_KEY_SCHEDULED,        QUEUE_KEY_RETRY,  QUEUE_KEY_ARCHIVED,
        QUEUE_KEY_COMPLETED, QUEUE_KEY_GROUPS, QUEUE_KEY_AGGREGATION_SETS, QUEUE_KEY_LEASE,  QUEUE_KEY_PAUSED,
        QUEUE_KEY_PROCESSED, QUEUE_KEY_FAILED, QUEUE_KEY_WATCHERS,         QUEUE_KEY_PARKED, QUEUE_KEY_QUARANTINE,
    };
    enum { FIXED = sizeof fixed / sizeof *fixed, DAYS = BROKER_COUNTERS_LIFE_S / (24 * 3600) + 1 };
    redis_args *args = broker_script_args(b, SCRIPT_DROP_QUEUE, FIXED + 2 * DAYS);
    for (size_t i = 0; i < FIXED; i++)
        redis_args_add(args, keys->key[fixed[i]]);
    for (int64_t day = 0; day < DAYS; day++) {
        int64_t at_ns = now_ns - day * 24 * 3600 * NS_PER_SECOND;
        broker_add_daily_key(args, keys->key[QUEUE_KEY_PROCESSED], at_ns);
        broker_add_daily_key(args, keys->key[QUEUE_KEY_FAILED], at_ns);
    }
    return broker_call(b, args, cb, arg);
}

/* ---- tasks ---- */

int broker_list_tasks(const broker *b, const queue_keys *keys, const list_call *call, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_LIST_TASKS, call->place.lease.length ? 2 : 1);
    redis_args_add(args, call->place.key);
    if (call->place.lease.length)
        redis_args_add(args, call->place.lease);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_text(args, call->place.is_list ? "list" : "zset");
    redis_args_add_integer(args, call->first);
    redis_args_add_integer(args, call->count);
    redis_args_add_text(args, call->oldest_first ? "1" : "0");
    if (call->after_count) {
        redis_args_add(args, call->after_score);
        for (size_t i = call->place.is_list ? 0 : call->after_count - 1; i < call->after_count; i++)
            redis_args_add(args, call->after[i]);
    }
    return broker_call(b, args, cb, arg);
}

enum { LISTED_FIELDS = 6 };

int64_t broker_listed_first(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 0));
}

size_t broker_listed_count(const redis_value *reply)
{
    return reply->count / LISTED_FIELDS;
}

static bytes bytes_or_none(const redis_value *value)
{
    return value && value->type == REDIS_STRING ? value->text : (bytes){0};
}

listed_task broker_listed_at(const redis_value *reply, size_t index)
{
    const redis_value *at = &reply->elements[1 + LISTED_FIELDS * index];
    return (listed_task){
        .id = at[0].text,
        .score_text = at[1].text,
        .score = redis_value_double(&at[1]),
        .message = bytes_or_none(&at[2]),
        .result = bytes_or_none(&at[3]),
        .pending_since = redis_value_integer(&at[4]),
        .lease = redis_value_double(&at[5]),
    };
}

int broker_find_task(const broker *b, const queue_keys *keys, bytes id, broker_cb cb, void *arg)
{
    static const queue_key containers[] = {QUEUE_KEY_SCHEDULED, QUEUE_KEY_RETRY, QUEUE_KEY_ARCHIVED,
                                           QUEUE_KEY_COMPLETED, QUEUE_KEY_LEASE};
    redis_args *args = broker_script_args(b, SCRIPT_TASK_INFO, 6);
    redis_args_add_joined(args, keys->key[QUEUE_KEY_TASK], id);
    for (size_t i = 0; i < sizeof containers / sizeof *containers; i++)
        redis_args_add(args, keys->key[containers[i]]);
    redis_args_add(args, id);
    return broker_call(b, args, cb, arg);
}

bool broker_found_task(const redis_value *reply, found_task *found)
{
    if (reply->type != REDIS_ARRAY)
        return false;
    double score = redis_value_double(redis_value_at(reply, 1));
    *found = (found_task){
        .state = bytes_or_none(redis_value_at(reply, 0)),
        .task.score = score,
        .task.lease = score,
        .task.message = bytes_or_none(redis_value_at(reply, 2)),
        .task.result = bytes_or_none(redis_value_at(reply, 3)),
        .task.pending_since = redis_value_integer(redis_value_at(reply, 4)),
        .task.losses = redis_value_integer(redis_value_at(reply, 5)),
    };
    return true;
}

int broker_steer(const broker *b, const queue_keys *keys, const steer_call *call, broker_cb cb, void *arg)
{
    static const char *const actions[] = {
        [ASYNQ_ACTION_RUN] = "run", [ASYNQ_ACTION_ARCHIVE] = "archive", [ASYNQ_ACTION_DELETE] = "delete"};
    static const queue_key fixed[] = {QUEUE_KEY_PENDING,  QUEUE_KEY_SCHEDULED, QUEUE_KEY_RETRY,
                                      QUEUE_KEY_ARCHIVED, QUEUE_KEY_COMPLETED, QUEUE_KEY_GROUPS};
    int64_t now = floor_div(call->now_ns, NS_PER_SECOND);
    redis_args *args = broker_script_args(b, SCRIPT_STEER, call->ids ? 6 : 7);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        redis_args_add(args, keys->key[fixed[i]]);
    if (!call->ids)
        redis_args_add(args, call->place.key);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add_text(args, actions[call->action]);
    redis_args_add_integer(args, now);
    redis_args_add_integer(args, call->now_ns);
    redis_args_add_integer(args, BROKER_ARCHIVE_LIFE_S);
    redis_args_add_integer(args, BROKER_ARCHIVE_MAX);
    if (call->ids) {
        redis_args_add_text(args, "ids");
        if (call->near < 0)
            redis_args_add_text(args, "");
        else
            redis_args_add_integer(args, call->near);
        for (size_t i = 0; i < call->count; i++)
            redis_args_add(args, call->ids[i]);
    } else {
        redis_args_add_text(args, call->place.is_list ? "list" : "zset");
        redis_args_add_integer(args, (int64_t)call->skip);
        redis_args_add_integer(args, (int64_t)call->count);
    }
    return broker_call(b, args, cb, arg);
}

int broker_find_pending(const broker *b, const queue_keys *keys, bytes id, int64_t first, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_FIND_PENDING, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
    redis_args_add(args, id);
    redis_args_add_integer(args, first);
    redis_args_add_integer(args, BROKER_FIND_PLACES);
    return broker_call(b, args, cb, arg);
}

int64_t broker_pending_count(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 0));
}

int64_t broker_found_rank(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 1));
}

int broker_update_message(const broker *b, const queue_keys *keys, bytes id, bytes before, bytes after, broker_cb cb,
                          void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_UPDATE_MESSAGE, 1);
    redis_args_add_joined(args, keys->key[QUEUE_KEY_TASK], id);
    redis_args_add(args, before);
    redis_args_add(args, after);
    return broker_call(b, args, cb, arg);
}

int broker_restore(const broker *b, const queue_keys *keys, const restored_task *task, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_RESTORE, 3);
    redis_args_add_joined(args, keys->key[QUEUE_KEY_TASK], task->id);
    redis_args_add(args, task->place.key);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
    redis_args_add(args, task->id);
    redis_args_add_text(args, task->place.is_list ? "list" : "zset");
    broker_add_due(args, task->at_ms);
    redis_args_add(args, task->state);
    redis_args_add(args, task->message);
    redis_args_add(args, task->result);
    redis_args_add_integer(args, task->pending_since_ns);
    redis_args_add(args, task->group);
    return broker_call(b, args, cb, arg);
}

/* ---- records ---- */

int broker_list_alive(const broker *b, global_key index, int64_t now_ns, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_LIST_ALIVE, 1);
    redis_args_add(args, global_key_name(b->space, index));
    redis_args_add_integer(args, floor_div(now_ns, NS_PER_SECOND));
    return broker_call(b, args, cb, arg);
}

int broker_command(const broker *b, const bytes *words, size_t count, broker_cb cb, void *arg)
{
    redis_args *args = broker_args(b);
    for (size_t i = 0; i < count; i++)
        redis_args_add(args, words[i]);
    return broker_call(b, args, cb, arg);
}
