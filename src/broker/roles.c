/* Roles of idle servers in a large fleet: lua/take-role.lua, lua/leave-role.lua. */
#include "broker/call.h"

static redis_args *role_call(const broker *b, script_id script, bytes server_id, const queue_keys *keys)
{
    redis_args *args = broker_script_args(b, script, 3);
    redis_args_add(args, keys->key[QUEUE_KEY_WATCHERS]);
    redis_args_add(args, keys->key[QUEUE_KEY_PARKED]);
    redis_args_add(args, keys->key[QUEUE_KEY_PENDING]);
    redis_args_add(args, server_id);
    redis_args_add(args, global_key_name(b->space, GLOBAL_KEY_WAKE));
    return args;
}

int broker_take_role(const broker *b, bytes server_id, const queue_keys *keys, broker_cb cb, void *arg)
{
    redis_args *args = role_call(b, SCRIPT_TAKE_ROLE, server_id, keys);
    redis_args_add_integer(args, BROKER_WATCHERS_MAX);
    redis_args_add_integer(args, BROKER_ROLE_LIFE_S);
    return broker_call(b, args, cb, arg);
}

queue_role broker_role(const redis_value *reply)
{
    return (queue_role)redis_value_integer(reply);
}

int broker_leave_role(const broker *b, bytes server_id, const queue_keys *keys)
{
    redis_args *args = role_call(b, SCRIPT_LEAVE_ROLE, server_id, keys);
    redis_args_add(args, keys->queue);
    return broker_call(b, args, NULL, NULL);
}
