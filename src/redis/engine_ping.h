/* Asking Redis for a sign of life over the connections of an engine, from other threads. */
#ifndef REDIS_ENGINE_PING_H
#define REDIS_ENGINE_PING_H

#include "redis/engine.h"

typedef struct engine_ping engine_ping;

/* Sends a PING. NULL: out of memory. Thread: any but the engine's own, before engine_run_left(). */
ASYNQ_MUST_CHECK engine_ping *engine_ping_begin(engine *e);

/*
 * Waits for the answer, at most so long. Returns 0, ASYNQ_E_UNAVAILABLE (there is no connection), ASYNQ_E_TIMEOUT, or
 * what Redis answered. Once for each ping, which it ends. Thread: any but the engine's own.
 */
ASYNQ_MUST_CHECK int engine_ping_wait(engine_ping *ping, int64_t timeout_ms, asynq_error *error);

/* Who has the engine. */
typedef struct engine_ping_owner {
    engine *engine;
    const char *what;                                       /* "server": in errors */
    int (*check_runs)(const void *arg, asynq_error *error); /* 0, or why it does not; under the lock */
    const void *arg;
    pthread_mutex_t *lock;
    const asynq_error *cause; /* why there is no connection, code 0: unknown; under the lock */
} engine_ping_owner;

/*
 * Pings until Redis has answered, at most so long. Returns 0, ASYNQ_E_STATE (the engine's own thread, a child of a
 * fork), what `check_runs` says, ASYNQ_E_NO_MEMORY, or what engine_ping_wait() returns, with the cause. Thread: any.
 */
ASYNQ_MUST_CHECK int engine_ping_within(const engine_ping_owner *owner, int64_t timeout_ms, asynq_error *error);

#endif
