/* See call.h. */
#include "broker/call.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct broker_pending {
    broker_cb cb;
    void *arg;
} broker_pending;

static void broker_replied(void *arg, const redis_result *result)
{
    broker_pending pending = *(broker_pending *)arg;
    mem_free(arg);
    asynq_error error = {0};
    int status = redis_result_check(result, &error);
    pending.cb(pending.arg, status, status ? &error : NULL, result->reply);
}

redis_args *broker_args(const broker *b)
{
    return redis_nodes_args(b->nodes);
}

redis_args *broker_script_args(const broker *b, script_id script, int key_count)
{
    return redis_nodes_script_args(b->nodes, script, key_count);
}

static bool is_within(int count, int min, int max)
{
    return count >= min && (max < 0 || count <= max);
}

bool broker_counts_fit(const redis_args *args)
{
    const redis_script *script = args->script;
    int arguments = args->count - REDIS_SCRIPT_KEYS - args->key_count;
    return args->failed || !script ||
           (is_within(args->key_count, script->min_keys, script->max_keys) &&
            is_within(arguments, script->min_arguments, script->max_arguments));
}

/* A beat of a server on one Redis: the only call whose keys belong to several slots. */
static bool broker_spans_slots(const redis_args *args)
{
    return args->script == &redis_scripts[SCRIPT_BEAT] && args->key_count > 2;
}

bool broker_keys_fit(const redis_args *args)
{
    bytes first_tag = {0};
    bool may_differ = broker_spans_slots(args);
    if (args->failed)
        return true; /* what is missing is memory */
    for (int i = 0; i < args->key_count; i++) {
        int at = REDIS_SCRIPT_KEYS + i;
        if (at >= args->count || !args->lengths[at])
            return false;
        bytes tag = key_slot_tag((bytes){args->argv[at], args->lengths[at]});
        if (i && !may_differ && !bytes_equal(tag, first_tag))
            return false;
        first_tag = tag;
    }
    return true;
}

/* Scripts of one key that go on to tasks, and write. */
static bool broker_is_wide(const redis_args *args)
{
    static const script_id single[] = {SCRIPT_EXPIRE, SCRIPT_CLEAR_SET};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (args->script == &redis_scripts[single[i]])
            return true;
    return args->key_count > 1;
}

static void broker_add_absent_key(redis_args *args)
{
    bytes first = {args->argv[REDIS_SCRIPT_KEYS], args->lengths[REDIS_SCRIPT_KEYS]}, tag = key_slot_tag(first);
    buf name;
    buf_init(&name, 0);
    buf_append(&name, first.data, (size_t)(tag.data - first.data) + tag.length);
    buf_append_text(&name, tag.length < first.length ? "}:" : ":");
    buf_append_text(&name, "libasynq:absent");
    args->failed |= buf_failed(&name);
    redis_args_append_key(args, (bytes){name.data, name.length});
    buf_clear(&name);
}

int broker_call(const broker *b, redis_args *args, broker_cb cb, void *arg)
{
    if (!broker_counts_fit(args) || !broker_keys_fit(args))
        return ASYNQ_E_INVALID;
    if (args->script && !args->failed && redis_nodes_is_cluster(b->nodes) && broker_is_wide(args))
        broker_add_absent_key(args);
    if (!cb)
        return redis_nodes_command(b->nodes, args, NULL, NULL);
    broker_pending *pending = mem_alloc(sizeof *pending);
    if (!pending)
        return ASYNQ_E_NO_MEMORY;
    *pending = (broker_pending){cb, arg};
    int status = redis_nodes_command(b->nodes, args, broker_replied, pending);
    if (status)
        mem_free(pending);
    return status;
}

void broker_add_key(redis_args *args, bytes prefix, bytes rest)
{
    buf name;
    buf_init(&name, 0);
    buf_append(&name, prefix.data, prefix.length);
    buf_append(&name, rest.data, rest.length);
    args->failed |= buf_failed(&name);
    redis_args_add_copy(args, (bytes){name.data, name.length});
    buf_clear(&name);
}

void broker_add_daily_key(redis_args *args, bytes counter, int64_t at_ns)
{
    buf name;
    buf_init(&name, 0);
    key_append_daily(&name, counter, at_ns);
    args->failed |= buf_failed(&name);
    redis_args_add_copy(args, (bytes){name.data, name.length});
    buf_clear(&name);
}

int broker_check_results(const redis_value *reply, size_t count, asynq_error *error)
{
    bool is_whole = reply->type == REDIS_ARRAY && reply->count == count;
    for (size_t i = 0; is_whole && i < count; i++)
        is_whole = reply->elements[i].type == REDIS_INTEGER;
    return is_whole ? ASYNQ_OK
                    : error_set(error, ASYNQ_E_MALFORMED,
                                "the reply does not have the %zu results that our script gives", count);
}

void broker_add_due(redis_args *args, int64_t at_ms)
{
    char text[32];
    if (at_ms % MS_PER_SECOND == 0)
        snprintf(text, sizeof text, "%" PRId64, at_ms / MS_PER_SECOND);
    else
        snprintf(text, sizeof text, "%s%lld.%03lld", at_ms < 0 ? "-" : "", llabs(at_ms / MS_PER_SECOND),
                 llabs(at_ms % MS_PER_SECOND));
    redis_args_add_copy(args, bytes_of(text));
}

int broker_result_at(const redis_value *reply, size_t index)
{
    return (int)redis_value_integer(redis_value_at(reply, index));
}
