/* See health.h. */
#include "server/health.h"

#include "server/server.h"

static void health_replied(void *arg, const redis_result *result)
{
    asynq_server *server = arg;
    asynq_error error = {0};
    int status = redis_result_check(result, &error);
    server->options.on_health(status, error.text, server->options.arg);
}

static void health_fired(void *arg)
{
    asynq_server *server = arg;
    if (redis_conn_commandf(server->broker.conn, health_replied, server, 1, "PING"))
        server->options.on_health(ASYNQ_E_UNAVAILABLE, asynq_status_text(ASYNQ_E_UNAVAILABLE), server->options.arg);
    loop_timer_set(&server->health, server->options.health_interval_ms);
}

int health_start(asynq_server *server)
{
    loop_timer_init(server->loop, &server->health, health_fired, server);
    if (server->options.on_health)
        loop_timer_set(&server->health, server->options.health_interval_ms);
    return ASYNQ_OK;
}

void health_stop(asynq_server *server)
{
    loop_timer_cancel(&server->health);
}
