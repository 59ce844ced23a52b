/* asynq_server_ping(): whether the server reaches Redis, and if not, why. */
#include "server/server.h"

#include "base/error.h"
#include "redis/engine_ping.h"

static engine_ping *server_ping_begin(void *arg, asynq_error *error)
{
    asynq_server *server = arg;
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

int asynq_server_ping(asynq_server *server, int64_t timeout_ms, asynq_error *error)
{
    const engine_ping_owner owner = {.engine = &server->engine,
                                     .what = "server",
                                     .begin = server_ping_begin,
                                     .arg = server,
                                     .lock = &server->lock,
                                     .cause = &server->connection_error};
    return engine_ping_within(&owner, timeout_ms, error);
}
