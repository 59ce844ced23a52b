/* Ending attempts: lua/settle.lua. */
#include "base/clock.h"
#include "broker/call.h"

/* What each way is called in the script, and which fields of an item it takes after the id. */
typedef struct settle_form {
    const char *name;
    bool lock, message, result, at;
} settle_form;

static const settle_form settle_forms[] = {
    [SETTLE_DONE] = {.name = "done"},
    [SETTLE_COMPLETE] = {.name = "complete", .lock = true, .message = true, .result = true, .at = true},
    [SETTLE_RETRY] = {.name = "retry", .message = true, .result = true, .at = true},
    [SETTLE_AGAIN] = {.name = "again", .message = true, .result = true, .at = true},
    [SETTLE_ARCHIVE] = {.name = "archive", .message = true, .result = true},
    [SETTLE_REQUEUE] = {.name = "requeue", .result = true},
    [SETTLE_LOST] = {.name = "lost"},
};

static const settle_form settle_form_unlock = {.name = "unlock", .lock = true};

static const settle_form *form_of(const settle_item *item)
{
    return item->way == SETTLE_DONE && item->lock.length ? &settle_form_unlock : &settle_forms[item->way];
}

static bool same_group(const settle_item *a, const settle_item *b)
{
    return form_of(a) == form_of(b) && a->tag == b->tag && a->from_tail == b->from_tail && !a->exact_score.length &&
           !b->exact_score.length;
}

static void add_fence(redis_args *args, const settle_item *item)
{
    char text[64] = "=";
    if (!item->exact_score.length || item->exact_score.length >= sizeof text - 1) {
        redis_args_add_integer(args, item->tag);
        return;
    }
    memcpy(text + 1, item->exact_score.data, item->exact_score.length);
    redis_args_add_copy(args, bytes_of(text));
}

static void add_item(redis_args *args, const settle_item *item)
{
    const settle_form *form = form_of(item);
    redis_args_add(args, item->id);
    if (form->lock)
        redis_args_add(args, item->lock);
    if (form->message)
        redis_args_add(args, item->message);
    if (form->result)
        redis_args_add(args, item->result);
    if (form->at)
        broker_add_due(args, item->at_ms);
}

static void settle_add_keys(redis_args *args, const queue_keys *keys, int64_t now_ns)
{
    static const queue_key fixed[] = {
        QUEUE_KEY_ACTIVE, QUEUE_KEY_LEASE,    QUEUE_KEY_PENDING,   QUEUE_KEY_COMPLETED,
        QUEUE_KEY_RETRY,  QUEUE_KEY_ARCHIVED, QUEUE_KEY_PROCESSED, QUEUE_KEY_FAILED,
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        redis_args_add(args, keys->key[fixed[i]]);
    broker_add_daily_key(args, keys->key[QUEUE_KEY_PROCESSED], now_ns);
    broker_add_daily_key(args, keys->key[QUEUE_KEY_FAILED], now_ns);
}

int broker_settle(const broker *b, const queue_keys *keys, const settle_item *items, size_t count, int64_t now_ns,
                  broker_cb cb, void *arg)
{
    int64_t now = floor_div(now_ns, NS_PER_SECOND);
    redis_args *args = broker_script_args(b, SCRIPT_SETTLE, 10);
    settle_add_keys(args, keys, now_ns);
    redis_args_add(args, keys->key[QUEUE_KEY_TASK]);
    redis_args_add_integer(args, now);
    redis_args_add_integer(args, now + BROKER_COUNTERS_LIFE_S);
    redis_args_add_integer(args, BROKER_ARCHIVE_LIFE_S);
    redis_args_add_integer(args, BROKER_ARCHIVE_MAX);
    redis_args_add_integer(args, now_ns);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && same_group(&items[i], &items[end]))
            end++;
        redis_args_add_text(args, form_of(&items[i])->name);
        add_fence(args, &items[i]);
        redis_args_add_text(args, items[i].from_tail ? "-1" : "1");
        redis_args_add_integer(args, (int64_t)(end - i));
        for (; i < end; i++)
            add_item(args, &items[i]);
    }
    return broker_call(b, args, cb, arg);
}

int broker_write_result(const broker *b, const queue_keys *keys, bytes id, uint32_t tag, bytes result, broker_cb cb,
                        void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_WRITE_RESULT, 2);
    redis_args_add(args, keys->key[QUEUE_KEY_LEASE]);
    redis_args_add_joined(args, keys->key[QUEUE_KEY_TASK], id);
    redis_args_add(args, id);
    redis_args_add_integer(args, tag);
    redis_args_add(args, result);
    return broker_call(b, args, cb, arg);
}
