/* Taking tasks and keeping them: lua/lease.lua, lua/lease-read-back.lua, lua/renew.lua. */
#include "broker/call.h"

#include <inttypes.h>
#include <stdio.h>

uint32_t lease_tag(uint32_t server_number, uint32_t call_number)
{
    uint32_t server = server_number % LEASE_SERVER_MOST;
    uint32_t call = call_number % (1u << LEASE_CALL_BITS);
    uint32_t tag = server << LEASE_CALL_BITS | call;
    return tag ? tag : 1; /* 0 would look like a lease of Go */
}

/* tag / 2^22 is exact in 22 decimals: tag * 5^22 / 10^22. */
static void format_fraction(uint32_t tag, char *digits)
{
    const unsigned __int128 five_to_the_22 = UINT64_C(2384185791015625);
    unsigned __int128 value = tag * five_to_the_22;
    for (int i = LEASE_TAG_BITS - 1; i >= 0; i--) {
        digits[i] = (char)('0' + (int)(value % 10));
        value /= 10;
    }
    digits[LEASE_TAG_BITS] = '\0';
}

void lease_score_format(lease_score score, char *text)
{
    char digits[LEASE_TAG_BITS + 1];
    format_fraction(score.tag, digits);
    if (score.tag)
        sprintf(text, "%" PRId64 ".%s", score.second, digits);
    else
        sprintf(text, "%" PRId64, score.second);
}

void lease_fence_format(uint32_t tag, char *text)
{
    lease_score_format((lease_score){0, tag}, text);
}

int broker_lease(redis_conn *conn, const queue_keys *keys, size_t most, lease_score score, broker_cb cb, void *arg)
{
    char text[48];
    lease_score_format(score, text);
    redis_args *args = redis_conn_script_args(conn, SCRIPT_LEASE, 4);
    redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
    redis_args_add(args, keys->key[QUEUE_KEY_ACTIVE]);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add(args, keys->key[QUEUE_KEY_PAUSED]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_integer(args, (int64_t)most);
    redis_args_add_text(args, text);
    return broker_call(conn, args, cb, arg);
}

int64_t broker_lease_waiting(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 0));
}

size_t broker_lease_count(const redis_value *reply)
{
    return reply->count ? (reply->count - 1) / 2 : 0;
}

static leased_task task_at(const redis_value *reply, size_t index)
{
    return (leased_task){redis_value_at(reply, index)->text, redis_value_at(reply, index + 1)->text};
}

leased_task broker_lease_task(const redis_value *reply, size_t index)
{
    return task_at(reply, 1 + 2 * index);
}

int broker_read_back(redis_conn *conn, const queue_keys *keys, lease_score score, broker_cb cb, void *arg)
{
    char text[48];
    lease_score_format(score, text);
    redis_args *args = redis_conn_script_args(conn, SCRIPT_LEASE_READ_BACK, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_text(args, text);
    return broker_call(conn, args, cb, arg);
}

size_t broker_read_back_count(const redis_value *reply)
{
    return reply->count / 2;
}

leased_task broker_read_back_task(const redis_value *reply, size_t index)
{
    return task_at(reply, 2 * index);
}

int broker_renew(redis_conn *conn, const queue_keys *keys, const renew_item *items, size_t count, int64_t second,
                 broker_cb cb, void *arg)
{
    redis_args *args = redis_conn_script_args(conn, SCRIPT_RENEW, 1);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && items[end].tag == items[i].tag)
            end++;
        char text[48];
        lease_fence_format(items[i].tag, text);
        redis_args_add_copy(args, bytes_of(text));
        lease_score_format((lease_score){second, items[i].tag}, text);
        redis_args_add_copy(args, bytes_of(text));
        redis_args_add_integer(args, (int64_t)(end - i));
        for (; i < end; i++)
            redis_args_add(args, items[i].id);
    }
    return broker_call(conn, args, cb, arg);
}
