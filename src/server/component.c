/* See component.h. */
#include "server/component.h"

#include "server/attempt.h"
#include "server/groups.h"
#include "server/health.h"
#include "server/hooks.h"
#include "server/limit.h"
#include "server/recoverer.h"
#include "server/server.h"
#include "server/settle.h"

/*
 * Outcomes come before leases: a lease that is read back may hold a task once more whose outcome has to be written
 * first. Jobs are dropped before what they have entries in.
 */
static const server_component components[] = {
    {.name = "reports", .start = reports_start, .stop = reports_stop},
    {.name = "subscriber",
     .start = subscriber_start,
     .queue_start = subscriber_queue_start,
     .ready = subscriber_ready,
     .stop = subscriber_stop},
    {.name = "settle",
     .queue_start = settle_queue_start,
     .ready = settle_turn,
     .turn = settle_turn,
     .queue_stop = settle_queue_stop},
    {.name = "limit", .turn = limit_turn, .stop = limit_stop},
    {.name = "threads", .start = threads_start, .turn = threads_turn, .stop = threads_stop},
    {.name = "capacities", .start = capacities_start, .stop = capacities_stop},
    {.name = "ahead", .queue_start = ahead_queue_start, .queue_stop = ahead_queue_stop},
    {.name = "session", .start = session_start, .ready = session_ready, .turn = session_turn, .stop = session_stop},
    {.name = "peers", .start = peers_start, .stop = peers_stop},
    {.name = "fetch", .queue_start = fetch_queue_start, .ready = fetch_ready, .turn = fetch_turn},
    {.name = "parking",
     .queue_start = parking_queue_start,
     .turn = parking_turn,
     .queue_stop = parking_queue_stop,
     .stop = parking_stop},
    {.name = "aggregation", .start = aggregation_start, .ready = aggregation_resume_all, .stop = aggregation_stop},
    {.name = "groups", .queue_start = groups_queue_start, .queue_stop = groups_queue_stop},
    {.name = "forwarder", .queue_start = forwarder_queue_start, .queue_stop = forwarder_queue_stop},
    {.name = "watch",
     .start = watch_start,
     .queue_start = watch_queue_start,
     .ready = watch_all_lost,
     .queue_stop = watch_queue_stop,
     .stop = watch_stop},
    {.name = "patterns", .start = patterns_start, .ready = patterns_look, .stop = patterns_stop},
    {.name = "heartbeat",
     .start = heartbeat_start,
     .ready = heartbeat_ready,
     .lost = heartbeat_lost,
     .queue_stop = heartbeat_queue_stop,
     .stop = heartbeat_stop},
    {.name = "recoverer",
     .start = recoverer_start,
     .queue_start = recoverer_queue_start,
     .ready = recoverer_look,
     .queue_stop = recoverer_queue_stop,
     .stop = recoverer_stop},
    {.name = "stale", .queue_stop = stale_queue_stop, .stop = stale_stop},
    {.name = "janitor", .queue_start = janitor_queue_start, .queue_stop = janitor_queue_stop},
    {.name = "health", .start = health_start, .stop = health_stop},
    {.name = "queues", .turn = queues_turn},
    {.name = "shutdown", .turn = shutdown_turn, .stop = shutdown_stop},
    {.name = "jobs", .start = jobs_start, .stop = jobs_stop},
};

enum { COMPONENT_COUNT = sizeof components / sizeof *components };

static int component_start(asynq_server *server, const server_component *component)
{
    int status = component->start ? component->start(server) : ASYNQ_OK;
    for (size_t i = 0; !status && component->queue_start && i < server->queue_count; i++)
        status = component->queue_start(server->queues[i]);
    if (status)
        log_event(&server->log, LOG_SERVER_START_FAILED, "%s: %s", component->name, asynq_status_text(status));
    return status;
}

int components_queue_start(served_queue *queue)
{
    int status = ASYNQ_OK;
    for (int i = 0; i < COMPONENT_COUNT && !status; i++)
        if (components[i].queue_start)
            status = components[i].queue_start(queue);
    return status;
}

void components_queue_stop(served_queue *queue)
{
    for (int i = COMPONENT_COUNT; i-- > 0;)
        if (components[i].queue_stop)
            components[i].queue_stop(queue);
}

int components_start(asynq_server *server)
{
    int status = ASYNQ_OK;
    for (int i = 0; i < COMPONENT_COUNT && !status; i++)
        status = component_start(server, &components[i]);
    return status;
}

void components_ready(asynq_server *server)
{
    for (int i = 0; i < COMPONENT_COUNT; i++)
        if (components[i].ready)
            components[i].ready(server);
}

void components_lost(asynq_server *server)
{
    for (int i = 0; i < COMPONENT_COUNT; i++)
        if (components[i].lost)
            components[i].lost(server);
}

void components_turn(asynq_server *server)
{
    for (int i = 0; i < COMPONENT_COUNT; i++)
        if (components[i].turn)
            components[i].turn(server);
}

static void component_stop(asynq_server *server, const server_component *component)
{
    for (size_t i = 0; component->queue_stop && i < server->queue_count; i++)
        component->queue_stop(server->queues[i]);
    if (component->stop)
        component->stop(server);
}

void components_stop(asynq_server *server)
{
    for (int i = COMPONENT_COUNT; i-- > 0;)
        component_stop(server, &components[i]);
}
