/* For the files of this folder: sending a command whose reply goes to a broker_cb. */
#ifndef BROKER_CALL_H
#define BROKER_CALL_H

#include "broker/broker.h"

/* An empty command, and the start of a script's: as redis_nodes_args() and redis_nodes_script_args(). */
redis_args *broker_args(const broker *b);
redis_args *broker_script_args(const broker *b, script_id script, int key_count);

/* A key whose name is a prefix and what follows it, such as QUEUE_KEY_TASK and an id. */
void broker_add_key(redis_args *args, bytes prefix, bytes rest);

/* The name of a daily counter (QUEUE_KEY_PROCESSED or _FAILED of a queue) for the day of a moment. */
void broker_add_daily_key(redis_args *args, bytes counter, int64_t at_ns);

/*
 * A due time as a score: seconds, and their fraction if there is one. Go reads whole seconds, compares the score with
 * them, and so is never early.
 */
void broker_add_due(redis_args *args, int64_t at_ms);

/* Of a task to be created: id, message, kind, score, lock, life of the lock, group. */
void broker_add_new_task(redis_args *args, const enqueue_item *item);

/* A script gets as many keys and arguments as the line --@takes in it says. */
bool broker_counts_fit(const redis_args *args);

/* No key of a script is empty, and all stand in one slot of a cluster. */
bool broker_keys_fit(const redis_args *args);

/*
 * A script in a cluster names one key more, which never exists. While a slot moves, a node refuses a script of whose
 * keys some are there and some are not ("TRYAGAIN"), and so each of ours; else it would run until it meets a task that
 * has gone, and stop halfway. Scripts of a single key that use no other go on: leases are renewed meanwhile.
 *
 * Sends; `cb` may be NULL. Same results as redis_nodes_command(), or ASYNQ_E_INVALID: a script got a wrong number of
 * keys or arguments, an empty key, or keys of several slots. That is looked at in each call, as it takes less than a
 * thousandth of the script's time: such a call works on a single Redis with all rights, and fails under an ACL or in a
 * cluster, where we seldom are.
 */
int broker_call(const broker *b, redis_args *args, broker_cb cb, void *arg);

#endif
