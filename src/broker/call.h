/* For the files of this folder: sending a command whose reply goes to a broker_cb. */
#ifndef BROKER_CALL_H
#define BROKER_CALL_H

#include "broker/broker.h"

/* Sends; `cb` may be NULL. Same results as redis_conn_command(). */
/* The keys of a script that gives roles: three per queue. */
void broker_add_role_keys(redis_args *args, const queue_keys *const *queues, size_t count);

int broker_call(redis_conn *conn, const redis_args *args, broker_cb cb, void *arg);

#endif
