/* Taking tasks and keeping them: lua/lease.lua, lua/lease-some.lua, lua/lease-read-back.lua, lua/renew.lua. */
#include "broker/call.h"

#include <inttypes.h>
#include <stdio.h>

enum { LEASE_MESSAGE_MAX = 512 << 20 }; /* Redis has no longer strings */

uint32_t lease_tag(uint32_t server_number, uint32_t call_number)
{
    uint32_t server = server_number % LEASE_SERVER_MAX;
    uint32_t call = call_number % (1u << LEASE_CALL_BITS);
    uint32_t tag = server << LEASE_CALL_BITS | call;
    return tag ? tag : 1; /* 0 would look like a lease of Go */
}

void lease_score_format(lease_score score, char *text)
{
    uint64_t unit = UINT64_C(1) << LEASE_TAG_BITS;
    uint64_t decimals = (score.tag * UINT64_C(10000000) + unit / 2) / unit;
    if (score.tag)
        sprintf(text, "%" PRId64 ".%07" PRIu64, score.second, decimals);
    else
        sprintf(text, "%" PRId64, score.second);
}

/* What both scripts take. */
static redis_args *lease_args(const broker *b, script_id script, const queue_keys *keys, const lease_order *order)
{
    char text[48];
    lease_score_format(order->score, text);
    redis_args *args = broker_script_args(b, script, 5);
    redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
    redis_args_add(args, keys->key[QUEUE_KEY_ACTIVE]);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add(args, keys->key[QUEUE_KEY_PAUSED]);
    redis_args_add(args, keys->key[QUEUE_KEY_PARKED]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_integer(args, (int64_t)order->max_tasks);
    redis_args_add_copy(args, bytes_of(text));
    redis_args_add(args, order->wake_others ? global_key_name(b->space, GLOBAL_KEY_WAKE) : (bytes){0});
    redis_args_add(args, keys->queue);
    return args;
}

int broker_lease(const broker *b, const queue_keys *keys, const lease_order *order, broker_cb cb, void *arg)
{
    redis_args *args = lease_args(b, SCRIPT_LEASE, keys, order);
    if (order->max_message)
        redis_args_add_integer(args, (int64_t)order->max_message);
    return broker_call(b, args, cb, arg);
}

int broker_lease_some(const broker *b, const queue_keys *keys, const lease_order *order, const lease_choice *choice,
                      broker_cb cb, void *arg)
{
    redis_args *args = lease_args(b, SCRIPT_LEASE_SOME, keys, order);
    if (order->max_message)
        redis_args_add_integer(args, (int64_t)order->max_message);
    else
        redis_args_add_text(args, "");
    redis_args_add_integer(args, (int64_t)choice->max_looked);
    redis_args_add_integer(args, choice->from.passed);
    redis_args_add(args, choice->from.last_id);
    redis_args_add_integer(args, (int64_t)choice->capacity_count);
    for (size_t i = 0; i < choice->capacity_count; i++)
        redis_args_add_integer(args, choice->rooms[i]);
    for (size_t i = 0; i < choice->rule_count; i++) {
        redis_args_add(args, choice->rules[i].pattern);
        redis_args_add_integer(args, (int64_t)choice->rules[i].capacity);
    }
    return broker_call(b, args, cb, arg);
}

static pending_place place_at(const redis_value *reply, size_t index)
{
    return (pending_place){redis_value_integer(redis_value_at(reply, index)), redis_value_at(reply, index + 1)->text};
}

bool broker_some_is_sound(const redis_value *reply, size_t capacity_count)
{
    return reply->type == REDIS_ARRAY && reply->count == 3 + 2 * capacity_count &&
           broker_lease_is_sound(&reply->elements[0]);
}

const redis_value *broker_some_tasks(const redis_value *reply)
{
    return redis_value_at(reply, 0);
}

pending_place broker_some_end(const redis_value *reply)
{
    return place_at(reply, 1);
}

pending_place broker_some_first(const redis_value *reply, size_t capacity)
{
    return place_at(reply, 3 + 2 * capacity);
}

int broker_read_message(const broker *b, const queue_keys *keys, bytes id, broker_cb cb, void *arg)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "HGET");
    redis_args_add_joined(args, keys->key[QUEUE_KEY_TASK], id);
    redis_args_add_text(args, "msg");
    return broker_call(b, args, cb, arg);
}

bool broker_lease_is_sound(const redis_value *reply)
{
    return reply->type == REDIS_ARRAY && reply->count % 3 == 1 && reply->elements[0].type == REDIS_INTEGER;
}

int64_t broker_lease_waiting(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 0));
}

size_t broker_lease_count(const redis_value *reply)
{
    return reply->count ? (reply->count - 1) / 3 : 0;
}

leased_task broker_lease_task(const redis_value *reply, size_t index)
{
    size_t at = 1 + 3 * index;
    return (leased_task){
        .id = redis_value_at(reply, at)->text,
        .message = redis_value_at(reply, at + 1)->text,
        .is_left_out = redis_value_at(reply, at + 1)->type == REDIS_INTEGER,
        .pending_since = redis_value_integer(redis_value_at(reply, at + 2)),
    };
}

size_t broker_lease_message_size(const redis_value *reply, size_t index)
{
    const redis_value *message = redis_value_at(reply, 2 + 3 * index);
    int64_t length = message->type == REDIS_INTEGER ? message->integer : (int64_t)message->text.length;
    return length < 0 ? 0 : length < LEASE_MESSAGE_MAX ? (size_t)length : LEASE_MESSAGE_MAX;
}

int broker_read_back(const broker *b, const queue_keys *keys, lease_score score, broker_cb cb, void *arg)
{
    char text[48];
    lease_score_format(score, text);
    redis_args *args = broker_script_args(b, SCRIPT_LEASE_READ_BACK, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_text(args, text);
    return broker_call(b, args, cb, arg);
}

size_t broker_read_back_count(const redis_value *reply)
{
    return reply->count / 2;
}

leased_task broker_read_back_task(const redis_value *reply, size_t index)
{
    return (leased_task){.id = redis_value_at(reply, 2 * index)->text,
                         .message = redis_value_at(reply, 2 * index + 1)->text};
}

int broker_renew(const broker *b, const queue_keys *keys, const renew_item *items, size_t count, int64_t second,
                 broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_RENEW, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && items[end].tag == items[i].tag)
            end++;
        char text[48];
        redis_args_add_integer(args, items[i].tag);
        lease_score_format((lease_score){second, items[i].tag}, text);
        redis_args_add_copy(args, bytes_of(text));
        redis_args_add_integer(args, (int64_t)(end - i));
        for (; i < end; i++)
            redis_args_add(args, items[i].id);
    }
    return broker_call(b, args, cb, arg);
}
