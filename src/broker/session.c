/* See session.h: lua/open-session.lua, lua/renew-session.lua, lua/late-sessions.lua, lua/take-back.lua. */
#include "broker/session.h"

#include "base/clock.h"
#include "base/saturate.h"
#include "broker/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TAKE_BACK_MAX_LOOKED = 512 };

static redis_args *session_call(const broker *b, script_id script)
{
    redis_args *args = broker_script_args(b, script, 1);
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_SESSIONS));
    return args;
}

static void session_append(buf *out, const session_record *own)
{
    buf_append_format(out, "%" PRId64 " ", own->timeout_ms);
    buf_append(out, own->identity.data, own->identity.length);
}

static void session_add_text(redis_args *args, buf *text)
{
    args->failed |= buf_failed(text);
    redis_args_add_copy(args, (bytes){text->data, text->length});
    buf_clear(text);
}

static void session_add_member(redis_args *args, const session_record *own)
{
    buf text;
    buf_init(&text, 0);
    buf_append_format(&text, "%" PRIu32 " ", own->number);
    session_append(&text, own);
    session_add_text(args, &text);
}

void broker_add_session(redis_args *args, const session_record *own)
{
    session_add_member(args, own);
    redis_args_add_integer(args, BROKER_SESSIONS_LIFE_S);
}

int broker_open_session(const broker *b, const session_record *own, broker_cb cb, void *arg)
{
    redis_args *args = session_call(b, SCRIPT_OPEN_SESSION);
    buf text;
    buf_init(&text, 0);
    session_append(&text, own);
    session_add_text(args, &text);
    redis_args_add_integer(args, BROKER_SESSION_NUMBERS);
    redis_args_add_integer(args, BROKER_SESSION_ABANDONED_MS);
    redis_args_add_integer(args, BROKER_SESSIONS_LIFE_S);
    return broker_call(b, args, cb, arg);
}

int broker_renew_session(const broker *b, const session_record *own, broker_cb cb, void *arg)
{
    redis_args *args = session_call(b, SCRIPT_RENEW_SESSION);
    broker_add_session(args, own);
    return broker_call(b, args, cb, arg);
}

int broker_end_session(const broker *b, const session_record *own)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "ZREM");
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_SESSIONS));
    session_add_member(args, own);
    return broker_call(b, args, NULL, NULL);
}

/* ---- those of others ---- */

int broker_list_late_sessions(const broker *b, int64_t late_ms, broker_cb cb, void *arg)
{
    redis_args *args = session_call(b, SCRIPT_LATE_SESSIONS);
    redis_args_add_integer(args, late_ms);
    redis_args_add_integer(args, BROKER_SESSIONS_LATE_MAX);
    return broker_call(b, args, cb, arg);
}

bool broker_late_is_sound(const redis_value *reply)
{
    return reply->type == REDIS_ARRAY && reply->count % 2 == 1 && reply->elements[0].type == REDIS_INTEGER;
}

int64_t broker_late_now_ms(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 0));
}

size_t broker_late_count(const redis_value *reply)
{
    return reply->count / 2;
}

/* Takes a number from the front, and the space behind it. */
static bool session_take_number(bytes *text, int64_t *number)
{
    size_t at = 0;
    *number = 0;
    for (; at < text->length && at < 16 && text->data[at] >= '0' && text->data[at] <= '9'; at++)
        *number = 10 * *number + (text->data[at] - '0');
    bool is_number = at > 0 && (at == text->length || text->data[at] == ' ');
    if (at < text->length)
        at++;
    *text = (bytes){text->data + at, text->length - at};
    return is_number;
}

bool broker_late_at(const redis_value *reply, size_t index, session_record *session)
{
    int64_t number;
    bytes member = reply->elements[2 * index + 1].text;
    bool is_read = member.data && session_take_number(&member, &number) && number < BROKER_SESSION_NUMBERS &&
                   session_take_number(&member, &session->timeout_ms) && session->timeout_ms > 0;
    if (!is_read)
        return false;
    session->number = (uint32_t)number;
    session->identity = member;
    session->renewed_ms = saturating_int(redis_value_double(&reply->elements[2 * index + 2]));
    return true;
}

int broker_lease_server(bytes score)
{
    char text[48];
    snprintf(text, sizeof text, "%.*s", BYTES_ARGS(score));
    double value = strtod(text, NULL), second = value > 0 && value < 1e12 ? (double)(int64_t)value : value;
    int tag = (int)((value - second) * (1 << LEASE_TAG_BITS) + 0.5);
    return tag > 0 ? tag >> LEASE_CALL_BITS : -1;
}

/* ---- their tasks ---- */

int broker_take_back(const broker *b, const queue_keys *keys, const take_back_order *order, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_TAKE_BACK, 3);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add(args, keys->key[QUEUE_KEY_ACTIVE]);
    redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_integer(args, order->now_ns);
    redis_args_add_integer(args, order->first);
    redis_args_add_integer(args, TAKE_BACK_MAX_LOOKED);
    redis_args_add_integer(args, BROKER_CHUNK_TASKS);
    redis_args_add_integer(args, order->max_losses);
    redis_args_add_integer(args, !order->is_list_only);
    redis_args_add_integer(args, BROKER_CHUNK_BYTES);
    for (size_t i = 0; i < order->count; i++)
        redis_args_add_integer(args, order->numbers[i]);
    return broker_call(b, args, cb, arg);
}

static bool is_list_of(const redis_value *list, size_t width)
{
    return list->type == REDIS_ARRAY && list->count % width == 0;
}

bool broker_take_back_is_sound(const redis_value *reply)
{
    return reply->type == REDIS_ARRAY && reply->count == 3 && reply->elements[0].type == REDIS_INTEGER &&
           is_list_of(&reply->elements[1], 3) && is_list_of(&reply->elements[2], 4);
}

int64_t broker_take_back_next(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 0));
}

size_t broker_taken_back_count(const redis_value *reply)
{
    return reply->elements[1].count / 3;
}

taken_back broker_taken_back_at(const redis_value *reply, size_t index)
{
    const redis_value *at = &reply->elements[1].elements[3 * index];
    return (taken_back){at[0].text, (uint32_t)redis_value_integer(&at[1]), redis_value_integer(&at[2])};
}

const redis_value *broker_take_back_listed(const redis_value *reply)
{
    return &reply->elements[2];
}
