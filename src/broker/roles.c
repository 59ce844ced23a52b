/* Roles of idle servers in a large fleet: lua/take-roles.lua, lua/leave-roles.lua. */
#include "broker/call.h"

void broker_add_role_keys(redis_args *args, const queue_keys *const *queues, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        redis_args_add(args, queues[i]->key[QUEUE_KEY_WATCHERS]);
        redis_args_add(args, queues[i]->key[QUEUE_KEY_PARKED]);
        redis_args_add(args, queues[i]->key[QUEUE_KEY_PENDING]);
    }
}

void broker_add_role_taker(redis_args *args, bytes server_id)
{
    redis_args_add(args, server_id);
    redis_args_add(args, global_key_name(GLOBAL_KEY_WAKE));
    redis_args_add_integer(args, BROKER_WATCHERS_MOST);
    redis_args_add_integer(args, BROKER_ROLE_LIFE_S);
}

int broker_take_roles(redis_conn *conn, bytes server_id, const queue_keys *const *queues, size_t count, broker_cb cb,
                      void *arg)
{
    redis_args *args = redis_conn_script_args(conn, SCRIPT_TAKE_ROLES, (int)(3 * count));
    broker_add_role_keys(args, queues, count);
    broker_add_role_taker(args, server_id);
    return broker_call(conn, args, cb, arg);
}

int broker_leave_roles(redis_conn *conn, bytes server_id, const queue_keys *const *queues, size_t count)
{
    redis_args *args = redis_conn_script_args(conn, SCRIPT_LEAVE_ROLES, (int)(3 * count));
    broker_add_role_keys(args, queues, count);
    redis_args_add(args, server_id);
    redis_args_add(args, global_key_name(GLOBAL_KEY_WAKE));
    for (size_t i = 0; i < count; i++)
        redis_args_add(args, queues[i]->queue);
    return broker_call(conn, args, NULL, NULL);
}
