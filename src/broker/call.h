/* For the files of this folder: sending a command whose reply goes to a broker_cb. */
#ifndef BROKER_CALL_H
#define BROKER_CALL_H

#include "broker/broker.h"

/* The keys of a script that gives roles: three per queue. */
void broker_add_role_keys(redis_args *args, const queue_keys *const *queues, size_t count);

/* What such a script is told of the server that takes the roles. */
void broker_add_role_taker(redis_args *args, bytes server_id);

/* A key whose name is a prefix and what follows it, such as QUEUE_KEY_TASK and an id. */
void broker_add_key(redis_args *args, bytes prefix, bytes rest);

/* The name of a daily counter (QUEUE_KEY_PROCESSED or _FAILED of a queue) for the day of a moment. */
void broker_add_daily_key(redis_args *args, bytes counter, int64_t at_ns);

/* Of a task to be created: id, message, kind, score, lock, life of the lock, group. */
void broker_add_new_task(redis_args *args, const enqueue_item *item);

/* Sends; `cb` may be NULL. Same results as redis_conn_command(). */
int broker_call(redis_conn *conn, const redis_args *args, broker_cb cb, void *arg);

#endif
