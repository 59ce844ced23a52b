/* See component.h. */
#include "server/component.h"

#include "server/attempt.h"
#include "server/groups.h"
#include "server/health.h"
#include "server/limit.h"
#include "server/recoverer.h"
#include "server/server.h"
#include "server/settle.h"

/*
 * Outcomes come before leases: a lease that is read back may hold a task once more whose outcome has to be written
 * first. Jobs are dropped before what they have entries in.
 */
static const server_component components[] = {
    {.name = "subscriber",
     .start = subscriber_start,
     .ready = subscriber_ready,
     .lost = subscriber_lost,
     .stop = subscriber_stop},
    {.name = "settle", .start = settle_start, .ready = settle_turn, .turn = settle_turn},
    {.name = "limit", .turn = limit_turn, .stop = limit_stop},
    {.name = "threads", .start = threads_start, .turn = threads_turn, .stop = threads_stop},
    {.name = "capacities", .start = capacities_start, .stop = capacities_stop},
    {.name = "ahead", .start = ahead_start, .stop = ahead_stop},
    {.name = "fetch", .ready = fetch_ready, .turn = fetch_turn},
    {.name = "parking", .start = parking_start, .turn = parking_turn, .stop = parking_stop},
    {.name = "aggregation", .start = aggregation_start, .ready = aggregation_resume_all, .stop = aggregation_stop},
    {.name = "groups", .start = groups_start, .stop = groups_stop},
    {.name = "forwarder", .start = forwarder_start, .stop = forwarder_stop},
    {.name = "watch", .start = watch_start, .ready = watch_all_lost, .stop = watch_stop},
    {.name = "heartbeat",
     .start = heartbeat_start,
     .ready = heartbeat_ready,
     .lost = heartbeat_lost,
     .stop = heartbeat_stop},
    {.name = "recoverer", .start = recoverer_start, .ready = recoverer_look, .stop = recoverer_stop},
    {.name = "janitor", .start = janitor_start, .stop = janitor_stop},
    {.name = "health", .start = health_start, .stop = health_stop},
    {.name = "shutdown", .turn = shutdown_turn, .stop = shutdown_stop},
    {.name = "jobs", .start = jobs_start, .stop = jobs_stop},
};

enum { COMPONENT_COUNT = sizeof components / sizeof *components };

int components_start(asynq_server *server)
{
    int status = ASYNQ_OK;
    for (int i = 0; i < COMPONENT_COUNT && !status; i++)
        if (components[i].start && (status = components[i].start(server)))
            log_error(&server->log, "the server's part \"%s\" cannot start: %s", components[i].name,
                      asynq_status_text(status));
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

void components_stop(asynq_server *server)
{
    for (int i = COMPONENT_COUNT; i-- > 0;)
        if (components[i].stop)
            components[i].stop(server);
}
