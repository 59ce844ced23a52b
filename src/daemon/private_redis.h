/* A Redis of the daemon's own: a child that keeps its data in a directory and is started again when it ends. */
#ifndef DAEMON_PRIVATE_REDIS_H
#define DAEMON_PRIVATE_REDIS_H

#include "base/log.h"
#include "event/loop.h"

typedef struct private_redis private_redis;

typedef struct private_redis_options {
    loop *loop;
    log_sink *log;
    const char *program;
    const char *directory; /* made if need be; its socket is redis.sock in it */
    int port;              /* on 127.0.0.1; 0: none */
    void (*stopped)(void *arg);
    void *arg;
} private_redis_options;

/*
 * Starts it, and runs the loop until it can be reached. Returns NULL with `error` if it cannot be started, or the
 * directory is in use by another asynqd. What goes wrong later is logged, and tried again.
 */
private_redis *private_redis_start(const private_redis_options *options, asynq_error *error);
/* Has it write its data and end; then `stopped` is called. */
void private_redis_stop(private_redis *redis);
/* Accepts NULL. Kills it if it still runs. */
void private_redis_free(private_redis *redis);

#endif
