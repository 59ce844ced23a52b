/* See group.h. */
#include "broker/group.h"

#include "base/clock.h"
#include "broker/call.h"

void group_append_set_name(buf *out, const queue_keys *keys, bytes group, bytes set_id)
{
    bytes prefix = keys->key[QUEUE_KEY_GROUP];
    buf_append(out, prefix.data, prefix.length);
    buf_append(out, group.data, group.length);
    buf_append(out, ":", 1);
    buf_append(out, set_id.data, set_id.length);
}

int broker_look_groups(const broker *b, const queue_keys *keys, bytes cursor, const group_limits *limits, broker_cb cb,
                       void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_LOOK_GROUPS, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add(args, cursor);
    redis_args_add_integer(args, BROKER_LOOK_GROUPS);
    redis_args_add_integer(args, limits->grace_s);
    redis_args_add_integer(args, limits->max_delay_s);
    redis_args_add_integer(args, limits->max_size);
    return broker_call(b, args, cb, arg);
}

size_t broker_looked_groups(const redis_value *reply)
{
    return reply->count ? (reply->count - 1) / 2 : 0;
}

bool broker_look_is_sound(const redis_value *reply)
{
    bytes cursor = broker_group_cursor(reply);
    for (size_t i = 0; i < cursor.length; i++)
        if (cursor.data[i] < '0' || cursor.data[i] > '9')
            return false;
    return reply->type == REDIS_ARRAY && reply->count % 2 == 1 && reply->elements[0].type == REDIS_STRING;
}

due_group broker_looked_group(const redis_value *reply, size_t index)
{
    return (due_group){redis_value_at(reply, 1 + 2 * index)->text,
                       redis_value_integer(redis_value_at(reply, 2 + 2 * index))};
}

bytes broker_group_cursor(const redis_value *reply)
{
    return reply->count ? redis_value_at(reply, 0)->text : bytes_of("0");
}

bool broker_group_cursor_ends(const redis_value *reply)
{
    return bytes_equal(broker_group_cursor(reply), bytes_of("0"));
}

int broker_take_group(const broker *b, const queue_keys *keys, bytes group, bytes set, const group_limits *limits,
                      int64_t now_ns, broker_cb cb, void *arg)
{
    int64_t now_s = floor_div(now_ns, NS_PER_SECOND);
    redis_args *args = broker_script_args(b, SCRIPT_TAKE_GROUP, 4);
    broker_add_key(args, keys->key[QUEUE_KEY_GROUP], group);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
    redis_args_add(args, keys->key[QUEUE_KEY_AGGREGATION_SETS]);
    redis_args_add(args, set);
    redis_args_add(args, group);
    redis_args_add_integer(args, now_s);
    redis_args_add_integer(args, limits->grace_s);
    redis_args_add_integer(args, limits->max_delay_s);
    redis_args_add_integer(args, limits->max_size);
    redis_args_add_integer(args, now_s + BROKER_AGGREGATION_S);
    return broker_call(b, args, cb, arg);
}

taken_group broker_taken_group(const redis_value *reply)
{
    return (taken_group){redis_value_integer(redis_value_at(reply, 0)), redis_value_integer(redis_value_at(reply, 1)),
                         redis_value_integer(redis_value_at(reply, 2)), broker_result_at(reply, 3) == 1};
}

int broker_read_set(const broker *b, const queue_keys *keys, bytes set, int64_t first, int64_t last, broker_cb cb,
                    void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_READ_SET, 1);
    redis_args_add(args, set);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_integer(args, first);
    redis_args_add_integer(args, last);
    redis_args_add_integer(args, BROKER_CHUNK_BYTES);
    return broker_call(b, args, cb, arg);
}

int64_t broker_set_size(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 0));
}

size_t broker_set_count(const redis_value *reply)
{
    return (reply->count - 1) / 2;
}

leased_task broker_set_task(const redis_value *reply, size_t index)
{
    return (leased_task){.id = reply->elements[2 * index + 1].text, .message = reply->elements[2 * index + 2].text};
}

int broker_finish_set(const broker *b, const queue_keys *keys, bytes set, const enqueue_item *item, int64_t now_ns,
                      broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_FINISH_SET, item ? 6 : 2);
    redis_args_add(args, set);
    redis_args_add(args, keys->key[QUEUE_KEY_AGGREGATION_SETS]);
    if (item) {
        redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
        redis_args_add(args, keys->key[QUEUE_KEY_SCHEDULED]);
        redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
        broker_add_key(args, keys->key[QUEUE_KEY_TASK], item->id);
    }
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add_integer(args, floor_div(now_ns, NS_PER_SECOND));
    redis_args_add_integer(args, now_ns);
    if (item)
        broker_add_new_task(args, item);
    return broker_call(b, args, cb, arg);
}

int broker_reclaim_sets(const broker *b, const queue_keys *keys, int64_t now_ns, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_RECLAIM_SETS, 2);
    redis_args_add(args, keys->key[QUEUE_KEY_AGGREGATION_SETS]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add_integer(args, floor_div(now_ns, NS_PER_SECOND));
    redis_args_add_integer(args, BROKER_RECLAIM_SETS);
    return broker_call(b, args, cb, arg);
}

bool broker_reclaim_goes_on(const redis_value *reply)
{
    return broker_result_at(reply, 0) == 1;
}

size_t broker_reclaimed_count(const redis_value *reply)
{
    return reply->count ? reply->count - 1 : 0;
}

bytes broker_reclaimed_set(const redis_value *reply, size_t index)
{
    return redis_value_at(reply, index + 1)->text;
}

int broker_clear_set(const broker *b, const queue_keys *keys, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_CLEAR_SET, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_AGGREGATION_SETS]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    return broker_call(b, args, cb, arg);
}
