/* What keeps a queue in order: due tasks, ended retention, lost tasks. */
#include "base/clock.h"
#include "broker/call.h"

#include <inttypes.h>
#include <stdio.h>

int broker_forward(const broker *b, const queue_keys *keys, queue_key source, int64_t now_ns, broker_cb cb, void *arg)
{
    char due[40];
    int64_t now = floor_div(now_ns, NS_PER_SECOND);
    snprintf(due, sizeof due, "%" PRId64 ".%03d", now, (int)((now_ns - now * NS_PER_SECOND) / NS_PER_MS));
    redis_args *args = broker_script_args(b, SCRIPT_FORWARD, 3);
    redis_args_add(args, keys->key[source]);
    redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add_text(args, due);
    redis_args_add_integer(args, now);
    redis_args_add_integer(args, now_ns);
    redis_args_add_integer(args, BROKER_CHUNK_TASKS);
    return broker_call(b, args, cb, arg);
}

size_t broker_upkeep_moved(const redis_value *reply)
{
    return (size_t)redis_value_integer(redis_value_at(reply, 0));
}

bool broker_upkeep_next(const redis_value *reply, double *next_due)
{
    const redis_value *next = redis_value_at(reply, 1);
    if (!next || !next->text.length)
        return false;
    *next_due = redis_value_double(next);
    return true;
}

bool broker_forward_is_sound(const redis_value *reply)
{
    return reply->type == REDIS_ARRAY && reply->count == 3 && reply->elements[0].type == REDIS_INTEGER;
}

const redis_value *broker_forward_dropped(const redis_value *reply)
{
    return redis_value_at(reply, 2);
}

int broker_expire(const broker *b, const queue_keys *keys, int64_t now_ns, size_t max, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_EXPIRE, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_COMPLETED]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_integer(args, floor_div(now_ns, NS_PER_SECOND));
    redis_args_add_integer(args, (int64_t)max);
    return broker_call(b, args, cb, arg);
}

int broker_list_expired(const broker *b, const queue_keys *keys, int64_t now_ns, size_t skip, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_EXPIRED_LEASES, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_integer(args, floor_div(now_ns, NS_PER_SECOND));
    redis_args_add_integer(args, BROKER_RECOVERY_ALLOWANCE_S);
    redis_args_add_integer(args, (int64_t)skip);
    redis_args_add_integer(args, BROKER_CHUNK_TASKS);
    redis_args_add_integer(args, BROKER_CHUNK_BYTES);
    return broker_call(b, args, cb, arg);
}

size_t broker_expired_count(const redis_value *reply)
{
    return reply->count / 4;
}

expired_lease broker_expired_at(const redis_value *reply, size_t index)
{
    const redis_value *at = &reply->elements[4 * index];
    return (expired_lease){at[0].text, at[1].text, at[2].text, redis_value_integer(&at[3])};
}

int broker_list_stale(const broker *b, const queue_keys *keys, int64_t now_ns, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_STALE_LEASES, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add_integer(args, floor_div(now_ns, NS_PER_SECOND));
    redis_args_add_integer(args, BROKER_STALE_SOON_S);
    redis_args_add_integer(args, BROKER_RECOVERY_ALLOWANCE_S);
    redis_args_add_integer(args, BROKER_STALE_MAX);
    return broker_call(b, args, cb, arg);
}

int broker_end_leases(const broker *b, const queue_keys *keys, int64_t second, const lease_seen *leases, size_t count,
                      broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_END_LEASES, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add_integer(args, second);
    for (size_t i = 0; i < count; i++) {
        redis_args_add(args, leases[i].id);
        redis_args_add(args, leases[i].score);
    }
    return broker_call(b, args, cb, arg);
}

int broker_list_orphans(const broker *b, const queue_keys *keys, int64_t first, int64_t last, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_ORPHANS, 2);
    redis_args_add(args, keys->key[QUEUE_KEY_ACTIVE]);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add_integer(args, first);
    redis_args_add_integer(args, last);
    return broker_call(b, args, cb, arg);
}

int broker_adopt(const broker *b, const queue_keys *keys, int64_t second, int64_t place, bytes id, broker_cb cb,
                 void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_ADOPT, 2);
    redis_args_add(args, keys->key[QUEUE_KEY_ACTIVE]);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add_integer(args, second);
    redis_args_add_integer(args, place);
    redis_args_add(args, id);
    return broker_call(b, args, cb, arg);
}

int broker_drop_active(const broker *b, const queue_keys *keys, bytes id, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_DROP_ACTIVE, 2);
    redis_args_add(args, keys->key[QUEUE_KEY_ACTIVE]);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, id);
    return broker_call(b, args, cb, arg);
}
