/* See fsck.h. */
#include "broker/fsck.h"

#include "base/clock.h"
#include "broker/call.h"

int broker_look_members(const broker *b, const queue_keys *keys, const member_walk *walk, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_LOOK_MEMBERS, 1);
    redis_args_add(args, walk->container);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add_text(args, walk->is_list ? "list" : "zset");
    redis_args_add_text(args, walk->state);
    redis_args_add(args, walk->from);
    redis_args_add_integer(args, BROKER_LOOK_TASKS);
    redis_args_add_text(args, walk->tells_all ? "1" : "");
    for (size_t i = 0; i < walk->before_count; i++)
        redis_args_add(args, walk->before[i]);
    return broker_call(b, args, cb, arg);
}

static void fsck_add_keys(redis_args *args, const queue_keys *keys, const queue_key *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        redis_args_add(args, keys->key[wanted[i]]);
}

int broker_look_tasks(const broker *b, const queue_keys *keys, const bytes *ids, size_t count, broker_cb cb, void *arg)
{
    static const queue_key wanted[] = {QUEUE_KEY_LEASE, QUEUE_KEY_SCHEDULED, QUEUE_KEY_RETRY, QUEUE_KEY_ARCHIVED,
                                       QUEUE_KEY_COMPLETED};
    enum { WANTED = sizeof wanted / sizeof *wanted };
    redis_args *args = broker_script_args(b, SCRIPT_LOOK_TASKS, WANTED);
    fsck_add_keys(args, keys, wanted, WANTED);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    for (size_t i = 0; i < count; i++)
        redis_args_add(args, ids[i]);
    return broker_call(b, args, cb, arg);
}

static void add_prefixes(redis_args *args, const queue_keys *keys)
{
    redis_args_add(args, keys->prefix);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add(args, keys->key[QUEUE_KEY_QUARANTINED]);
}

static void add_suspect(redis_args *args, const task_suspect *suspect)
{
    redis_args_add(args, suspect->id);
    redis_args_add(args, suspect->container);
    redis_args_add_text(args, suspect->is_repeated ? "1" : "");
    redis_args_add_text(args, suspect->is_bad ? "1" : "");
    redis_args_add(args, suspect->is_bad ? suspect->message : bytes_of(""));
    redis_args_add(args, suspect->group);
    if (suspect->keep_until)
        redis_args_add_integer(args, suspect->keep_until);
    else
        redis_args_add_text(args, "");
    redis_args_add_text(args, suspect->is_in_list ? "1" : "");
}

int broker_check_tasks(const broker *b, const queue_keys *keys, const task_suspect *suspects, size_t count,
                       int64_t now_ns, bool repair, broker_cb cb, void *arg)
{
    static const queue_key wanted[] = {
        QUEUE_KEY_PENDING,  QUEUE_KEY_ACTIVE,    QUEUE_KEY_LEASE,  QUEUE_KEY_SCHEDULED,        QUEUE_KEY_RETRY,
        QUEUE_KEY_ARCHIVED, QUEUE_KEY_COMPLETED, QUEUE_KEY_GROUPS, QUEUE_KEY_AGGREGATION_SETS, QUEUE_KEY_QUARANTINE};
    enum { WANTED = sizeof wanted / sizeof *wanted };
    int64_t now = floor_div(now_ns, NS_PER_SECOND);
    redis_args *args = broker_script_args(b, SCRIPT_CHECK_TASKS, WANTED);
    fsck_add_keys(args, keys, wanted, WANTED);
    add_prefixes(args, keys);
    redis_args_add_integer(args, now);
    redis_args_add_integer(args, now_ns);
    redis_args_add_integer(args, now + BROKER_LEASE_S);
    redis_args_add_integer(args, BROKER_ARCHIVE_MAX);
    redis_args_add_integer(args, BROKER_QUARANTINE_LIFE_S);
    redis_args_add_text(args, repair ? "1" : "");
    for (size_t i = 0; i < count; i++)
        add_suspect(args, &suspects[i]);
    return broker_call(b, args, cb, arg);
}

static bytes text_at(const redis_value *reply, size_t index)
{
    const redis_value *value = redis_value_at(reply, index);
    return value && value->type == REDIS_STRING ? value->text : bytes_of("");
}

enum { CHECKED_TASK_FIELDS = 4, CHECKED_KEY_FIELDS = 3 };

check_result broker_checked_task(const redis_value *reply, size_t index)
{
    size_t at = CHECKED_TASK_FIELDS * index;
    return (check_result){text_at(reply, at), text_at(reply, at + 1), text_at(reply, at + 2), text_at(reply, at + 3)};
}

int broker_check_keys(const broker *b, const queue_keys *keys, const key_suspect *suspects, size_t count,
                      int64_t now_ns, bool repair, broker_cb cb, void *arg)
{
    static const queue_key wanted[] = {QUEUE_KEY_GROUPS, QUEUE_KEY_AGGREGATION_SETS, QUEUE_KEY_QUARANTINE};
    enum { WANTED = sizeof wanted / sizeof *wanted };
    redis_args *args = broker_script_args(b, SCRIPT_CHECK_KEYS, WANTED);
    fsck_add_keys(args, keys, wanted, WANTED);
    add_prefixes(args, keys);
    redis_args_add_integer(args, floor_div(now_ns, NS_PER_SECOND));
    redis_args_add_integer(args, now_ns);
    redis_args_add_integer(args, BROKER_QUARANTINE_LIFE_S);
    redis_args_add_text(args, repair ? "1" : "");
    for (size_t i = 0; i < count; i++) {
        redis_args_add_text(args, suspects[i].kind);
        redis_args_add(args, suspects[i].name);
        redis_args_add_text(args, suspects[i].type);
        redis_args_add_integer(args, suspects[i].life_s);
    }
    return broker_call(b, args, cb, arg);
}

check_result broker_checked_key(const redis_value *reply, size_t index)
{
    size_t at = CHECKED_KEY_FIELDS * index;
    return (check_result){text_at(reply, at), text_at(reply, at + 1), bytes_of(""), text_at(reply, at + 2)};
}

int broker_scan(const broker *b, size_t node, bytes cursor, bytes pattern, int64_t count, broker_cb cb, void *arg)
{
    if (node >= redis_nodes_count(b->nodes))
        return ASYNQ_E_UNAVAILABLE;
    redis_args *args = broker_args(b);
    args->node = redis_nodes_get(b->nodes, node);
    redis_args_add_text(args, "SCAN");
    redis_args_add(args, cursor);
    redis_args_add_text(args, "MATCH");
    redis_args_add(args, pattern);
    redis_args_add_text(args, "COUNT");
    redis_args_add_integer(args, count);
    return broker_call(b, args, cb, arg);
}
