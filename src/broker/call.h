/* For the files of this folder: sending a command whose reply goes to a broker_cb. */
#ifndef BROKER_CALL_H
#define BROKER_CALL_H

#include "broker/broker.h"

/* Sends; `cb` may be NULL. Same results as redis_conn_command(). */
int broker_call(redis_conn *conn, const redis_args *args, broker_cb cb, void *arg);

#endif
