/* See schedule.h. */
#include "broker/schedule.h"

#include "base/clock.h"
#include "base/saturate.h"
#include "broker/call.h"

/* The end of the year 9999; records of schedulers are computed with, whoever wrote them. */
#define RECORD_TICK_MAX_S INT64_C(253402300799)

int broker_hold_entries(const broker *b, bytes scheduler, int64_t hold_ms, const hold_item *items, size_t count,
                        broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_HOLD_ENTRIES, (int)count);
    for (size_t i = 0; i < count; i++)
        redis_args_add(args, items[i].record);
    redis_args_add(args, scheduler);
    redis_args_add_integer(args, hold_ms);
    redis_args_add_integer(args, BROKER_ENTRY_LIFE_S);
    for (size_t i = 0; i < count; i++)
        redis_args_add_integer(args, items[i].known_tick_s);
    return broker_call(b, args, cb, arg);
}

held_entry broker_held_at(const redis_value *reply, size_t index)
{
    const redis_value *at = redis_value_at(reply, index + 1);
    if (!at || at->type != REDIS_ARRAY || at->count != 4)
        return (held_entry){0};
    return (held_entry){
        .tick_s = clamp(redis_value_integer(&at->elements[0]), 0, RECORD_TICK_MAX_S),
        .is_held = redis_value_integer(&at->elements[1]) == 1,
        .task_id = at->elements[2].text,
        .result = (int)redis_value_integer(&at->elements[3]),
    };
}

int broker_fire_tick(const broker *b, const queue_keys *keys, const tick_fire *fire, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_FIRE_TICK, 5);
    redis_args_add(args, fire->record);
    redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
    redis_args_add(args, keys->key[QUEUE_KEY_SCHEDULED]);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUPS]);
    broker_add_key(args, keys->key[QUEUE_KEY_TASK], fire->item->id);
    redis_args_add_integer(args, fire->tick_s);
    redis_args_add(args, fire->scheduler);
    redis_args_add_integer(args, BROKER_HOLD_MS);
    redis_args_add_integer(args, BROKER_ENTRY_LIFE_S);
    redis_args_add(args, keys->key[QUEUE_KEY_GROUP]);
    redis_args_add_integer(args, floor_div(fire->now_ns, NS_PER_SECOND));
    redis_args_add_integer(args, fire->now_ns);
    broker_add_new_task(args, fire->item);
    return broker_call(b, args, cb, arg);
}

fired_tick broker_fired(const redis_value *reply)
{
    return (fired_tick){redis_value_integer(redis_value_at(reply, 1)), broker_result_at(reply, 2)};
}

int64_t broker_schedule_clock_ms(const redis_value *reply)
{
    return redis_value_integer(redis_value_at(reply, 0));
}

int broker_record_tick(const broker *b, bytes entry_id, bytes event, int64_t at_s, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_RECORD_TICK, 1);
    broker_add_key(args, global_key_name(b->space, GLOBAL_KEY_SCHEDULER_HISTORY), entry_id);
    redis_args_add_integer(args, at_s);
    redis_args_add(args, event);
    redis_args_add_integer(args, BROKER_HISTORY_MAX);
    redis_args_add_integer(args, BROKER_HISTORY_LIFE_S);
    return broker_call(b, args, cb, arg);
}

int broker_drop_history(const broker *b, bytes entry_id, broker_cb cb, void *arg)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, "DEL");
    broker_add_key(args, global_key_name(b->space, GLOBAL_KEY_SCHEDULER_HISTORY), entry_id);
    return broker_call(b, args, cb, arg);
}

static int list_name(const broker *b, buf *name, bytes identity)
{
    buf_init(name, 0);
    key_append_scheduler(name, b->space, identity);
    return buf_failed(name) ? ASYNQ_E_NO_MEMORY : ASYNQ_OK;
}

/* ZADD or ZREM of the place where user interfaces find the list. */
static int change_index(const broker *b, const char *command, bytes list, const int64_t *expiry_s)
{
    redis_args *args = broker_args(b);
    redis_args_add_text(args, command);
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_SCHEDULERS));
    if (expiry_s)
        redis_args_add_integer(args, *expiry_s);
    redis_args_add(args, list);
    return broker_call(b, args, NULL, NULL);
}

int broker_write_entries(const broker *b, bytes identity, const bytes *entries, size_t count, int64_t now_ns,
                         int64_t life_s, broker_cb cb, void *arg)
{
    buf name;
    int64_t expiry_s = floor_div(now_ns, NS_PER_SECOND) + life_s;
    int status = list_name(b, &name, identity);
    bytes list = {name.data, name.length};
    if (!status)
        status = change_index(b, "ZADD", list, &expiry_s);
    if (!status) {
        redis_args *args = broker_script_args(b, SCRIPT_WRITE_ENTRIES, 1);
        redis_args_add(args, list);
        redis_args_add_integer(args, life_s);
        for (size_t i = 0; i < count; i++)
            redis_args_add(args, entries[i]);
        status = broker_call(b, args, cb, arg);
    }
    buf_clear(&name);
    return status;
}

int broker_clear_entries(const broker *b, bytes identity, broker_cb cb, void *arg)
{
    buf name;
    int status = list_name(b, &name, identity);
    bytes list = {name.data, name.length};
    if (!status)
        status = change_index(b, "ZREM", list, NULL);
    if (!status) {
        redis_args *args = broker_args(b);
        redis_args_add_text(args, "DEL");
        redis_args_add(args, list);
        status = broker_call(b, args, cb, arg);
    }
    buf_clear(&name);
    return status;
}
