/* Creating tasks: lua/enqueue.lua. */
#include "base/clock.h"
#include "broker/call.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    enqueue_result result;
    int status;
} result_rows[] = {
    {ENQUEUE_CREATED, ASYNQ_OK},
    {ENQUEUE_CONFLICT, ASYNQ_E_CONFLICT},
    {ENQUEUE_DUPLICATE, ASYNQ_E_DUPLICATE},
};

int broker_enqueue_status(int result)
{
    for (size_t i = 0; i < sizeof result_rows / sizeof *result_rows; i++)
        if ((int)result_rows[i].result == result)
            return result_rows[i].status;
    return ASYNQ_E_MALFORMED;
}

static bool enqueue_is_plain(const enqueue_item *item)
{
    return item->kind == ENQUEUE_PENDING && !item->lock.length;
}

static bool are_plain(const enqueue_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (!enqueue_is_plain(batch->items[i]))
            return false;
    return true;
}

/* All but id and message. */
static void add_rest(redis_args *args, const enqueue_item *item)
{
    char kind = (char)item->kind;
    redis_args_add_copy(args, (bytes){&kind, 1});
    broker_add_due(args, item->process_at_ms);
    redis_args_add(args, item->lock);
    redis_args_add_integer(args, item->lock_life_s);
    redis_args_add(args, item->group);
}

void broker_add_new_task(redis_args *args, const enqueue_item *item)
{
    redis_args_add(args, item->id);
    redis_args_add(args, item->message);
    add_rest(args, item);
}

int broker_enqueue(const broker *b, const queue_keys *keys, const enqueue_batch *batch, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_ENQUEUE, 4);
    char number[24] = "";
    if (batch->client_id.length)
        snprintf(number, sizeof number, "%" PRIu64, batch->number);

    redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
    redis_args_add(args, keys->key[QUEUE_KEY_SCHEDULED]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
    broker_add_key(args, keys->key[QUEUE_KEY_CLIENT], batch->client_id);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add_integer(args, floor_div(batch->now_ns, NS_PER_SECOND));
    redis_args_add_integer(args, batch->now_ns);
    redis_args_add_text(args, number);
    redis_args_add_integer(args, BROKER_CLIENT_MEMORY_S);
    redis_args_add_text(args, batch->is_repeat ? "1" : "");
    redis_args_add_integer(args, batch->place);
    bool only_plain = are_plain(batch);
    redis_args_add_text(args, only_plain ? "1" : "0");
    for (size_t i = 0; i < batch->count; i++) {
        redis_args_add(args, batch->items[i]->id);
        redis_args_add(args, batch->items[i]->message);
        if (!only_plain)
            add_rest(args, batch->items[i]);
    }
    return broker_call(b, args, cb, arg);
}
