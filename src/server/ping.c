/* asynq_server_ping(): whether the server reaches Redis, and if not, why. */
#include "server/server.h"

#include "base/error.h"
#include "redis/engine_ping.h"

static int server_check_runs(const void *arg, asynq_error *error)
{
    const asynq_server *server = arg;
    if (server->status == SERVER_NEW)
        return error_set(error, ASYNQ_E_STATE, "the server has not been started");
    if (server->status == SERVER_CLOSED)
        return error_set(error, ASYNQ_E_CLOSED, "asynq: Server closed");
    return ASYNQ_OK;
}

int asynq_server_ping(asynq_server *server, int64_t timeout_ms, asynq_error *error)
{
    const engine_ping_owner owner = {.engine = &server->engine,
                                     .what = "server",
                                     .check_runs = server_check_runs,
                                     .arg = server,
                                     .lock = &server->lock,
                                     .cause = &server->connection_error};
    return engine_ping_within(&owner, timeout_ms, error);
}
