/*
 * Shutting down, in this order: no more leases (a lease under way goes straight back); jobs may end until the time
 * limit while renewals, settles and heartbeats go on; jobs that are left are given back, newest first, so that the
 * oldest is the next to run; outcomes are written until acknowledged or until their leases end; the server's records
 * go; connections close; threads end.
 */
#include "server/server.h"

#include <utlist.h>

enum { SHUTDOWN_CLEAR_LIMIT_MS = 1000 };

static void limit_reached(void *arg)
{
    asynq_server *server = arg;
    if (server->phase == SHUTDOWN_CLEARING) {
        server->phase = SHUTDOWN_DONE;
        return;
    }
    server->aggregations_given_up = true; /* their tasks go back to their groups */
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        while (queue->running) {
            asynq_job *newest = queue->running->prev; /* utlist: the head's prev is the tail */
            log_warn(&server->log, "task %s (%s) of queue \"%s\" did not end in time and goes back to its queue",
                     newest->id, newest->type, queue->name);
            attempt_requeue(newest);
        }
    }
}

void shutdown_begin(asynq_server *server)
{
    if (server->phase)
        return;
    server->phase = SHUTDOWN_JOBS_RUN;
    server->fetching = false;
    loop_timer_init(server->loop, &server->shutdown_limit, limit_reached, server);
    loop_timer_set(&server->shutdown_limit, server->options.shutdown_timeout_ms);
    log_info(&server->log, "shutting down; %zu tasks are running", server->running_count);
}

static bool jobs_run(const asynq_server *server)
{
    bool aggregates = server->aggregations && !server->aggregations_given_up;
    return server->running_count || server->leases_in_flight || aggregates;
}

static bool outcomes_wait(const asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        if (!settle_is_idle(server->queues[i]) || server->queues[i]->lease_unknown)
            return true;
    return limits_are_busy(server);
}

static void records_cleared(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)status; /* what is left runs out by itself after ten seconds */
    (void)error;
    (void)reply;
    asynq_server *server = arg;
    server->phase = SHUTDOWN_DONE;
    loop_timer_set(&server->shutdown_limit, 0);
}

static void clear_records(asynq_server *server)
{
    server->phase = SHUTDOWN_CLEARING;
    loop_timer_set(&server->shutdown_limit, SHUTDOWN_CLEAR_LIMIT_MS);
    bytes own = identity_text(&server->process);
    if (broker_clear_server(server->work, own, records_cleared, server))
        server->phase = SHUTDOWN_DONE;
}

static void finish(asynq_server *server)
{
    server->tracking = false; /* nothing is to be watched when pending commands end with the connections */
    loop_timer_cancel(&server->shutdown_limit);
    recoverer_stop(server);
    janitor_stop(server);
    heartbeat_stop(server);
    threads_stop(server);
    subscriber_stop(server);
    redis_conn_free(server->work);
    server->work = NULL;
    loop_stop(server->loop);
}

void shutdown_advance(asynq_server *server)
{
    if (server->phase == SHUTDOWN_JOBS_RUN && !jobs_run(server))
        server->phase = SHUTDOWN_SETTLING;
    if (server->phase == SHUTDOWN_SETTLING && !outcomes_wait(server))
        clear_records(server);
    if (server->phase == SHUTDOWN_DONE)
        finish(server);
}
