/* asynq_server_ping(): whether the server reaches Redis, and if not, why. */
#include "server/server.h"

#include "base/clock.h"
#include "base/error.h"
#include "redis/answer.h"
#include "redis/engine_ping.h"

#include <unistd.h>

enum { PING_PAUSE_MS = 20, PING_MAX_MS = 24 * 3600 * 1000 };

/* NULL with `error` filled: the server does not run. */
static engine_ping *server_ping_begin(asynq_server *server, asynq_error *error)
{
    engine_ping *ping = NULL;
    pthread_mutex_lock(&server->lock);
    if (server->status == SERVER_NEW)
        error_set(error, ASYNQ_E_STATE, "the server has not been started");
    else if (server->status == SERVER_CLOSED)
        error_set(error, ASYNQ_E_CLOSED, "asynq: Server closed");
    else if (!(ping = engine_ping_begin(&server->engine)))
        error_set_code(error, ASYNQ_E_NO_MEMORY);
    pthread_mutex_unlock(&server->lock);
    return ping;
}

/* The connection knows more of why there is none. */
static int server_ping_explain(asynq_server *server, int status, asynq_error *error)
{
    if (status != ASYNQ_E_UNAVAILABLE && status != ASYNQ_E_TIMEOUT)
        return status;
    pthread_mutex_lock(&server->lock);
    asynq_error cause = server->connection_error;
    pthread_mutex_unlock(&server->lock);
    if (redis_error_is_final(cause.code))
        return error_set(error, cause.code, "%s", cause.text);
    return cause.code ? error_set(error, status, "Redis cannot be reached: %.200s", cause.text) : status;
}

static int64_t server_ping_clamp(int64_t timeout_ms)
{
    return timeout_ms < 0 ? 0 : timeout_ms < PING_MAX_MS ? timeout_ms : PING_MAX_MS;
}

int asynq_server_ping(asynq_server *server, int64_t timeout_ms, asynq_error *error)
{
    asynq_error own_error;
    error = error ? error : &own_error;
    error_clear(error);
    if (engine_check_process(&server->engine, "server", error))
        return ASYNQ_E_STATE;
    if (engine_is_own_thread(&server->engine))
        return error_set(error, ASYNQ_E_STATE, "a ping from the server's own thread would never end");
    int64_t left_ms = server_ping_clamp(timeout_ms), ends_at_ms = clock_steady_ms() + left_ms;
    for (;;) {
        engine_ping *ping = server_ping_begin(server, error);
        if (!ping)
            return error->code;
        int status = server_ping_explain(server, engine_ping_wait(ping, left_ms, error), error);
        left_ms = ends_at_ms - clock_steady_ms();
        if (status != ASYNQ_E_UNAVAILABLE || left_ms <= 0)
            return status;
        error_clear(error);
        usleep((useconds_t)(left_ms < PING_PAUSE_MS ? left_ms : PING_PAUSE_MS) * 1000);
    }
}
