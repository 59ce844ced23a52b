/* See durable.h. */
#include "broker/durable.h"

#include "base/saturate.h"
#include "broker/call.h"

#include <limits.h>

enum { AOF_LOCAL, AOF_REPLICAS };

int broker_wait_durable(const broker *b, const queue_keys *keys, const durable_wish *wish, broker_cb cb, void *arg)
{
    redis_node *node = redis_nodes_at(b->nodes, keys->slot);
    if (!node || !redis_conn_is_ready(node->conn))
        return ASYNQ_E_UNAVAILABLE;
    redis_args *args = broker_args(b);
    args->node = node;
    redis_args_add_text(args, wish->fsync ? "WAITAOF" : "WAIT");
    if (wish->fsync)
        redis_args_add_text(args, "1");
    redis_args_add_integer(args, wish->replicas);
    redis_args_add_integer(args, wish->timeout_ms);
    int status = broker_call(b, args, cb, arg);
    if (!status)
        redis_conn_expect_silence(node->conn, wish->timeout_ms);
    return status;
}

bool broker_durable_read(const redis_value *reply, const durable_wish *wish, int *replicas)
{
    *replicas = (int)clamp(redis_value_integer(wish->fsync ? redis_value_at(reply, AOF_REPLICAS) : reply), 0, INT_MAX);
    return *replicas >= wish->replicas && (!wish->fsync || redis_value_integer(redis_value_at(reply, AOF_LOCAL)) == 1);
}
