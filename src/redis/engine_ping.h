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

#endif
