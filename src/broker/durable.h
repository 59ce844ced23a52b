/*
 * Waiting until what a connection has written is on replicas, and on disks. Redis holds the connection for that time,
 * so all that is sent behind it waits as well. Calls and callbacks are as in broker.h.
 */
#ifndef BROKER_DURABLE_H
#define BROKER_DURABLE_H

#include "broker/broker.h"

typedef struct durable_wish {
    int replicas; /* so many; 0: none */
    bool fsync;   /* on disk: of the server, and of the replicas that are counted */
    int64_t timeout_ms;
} durable_wish;

static inline bool durable_is_wished(const durable_wish *wish)
{
    return wish->replicas > 0 || wish->fsync;
}

/*
 * Waits for all that was written before to the node of this queue, on the connection as it is now. reply: see
 * broker_durable_read().
 */
ASYNQ_MUST_CHECK int broker_wait_durable(const broker *b, const queue_keys *keys, const durable_wish *wish,
                                         broker_cb cb, void *arg);

/* How many replicas have it. False: fewer than wished, or not on the server's disk. */
bool broker_durable_read(const redis_value *reply, const durable_wish *wish, int *replicas);

#endif
