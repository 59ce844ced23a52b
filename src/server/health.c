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

static bool health_has_all(const redis_nodes *nodes)
{
    for (size_t i = 0; i < redis_nodes_count(nodes); i++)
        if (!redis_conn_is_ready(redis_nodes_get(nodes, i)->conn))
            return false;
    return redis_nodes_count(nodes) > 0;
}

static void health_fired(void *arg)
{
    asynq_server *server = arg;
    if (!health_has_all(server->broker.nodes) || redis_nodes_ping(server->broker.nodes, health_replied, server))
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
