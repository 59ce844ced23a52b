/*
 * Shutting down, in this order: no more leases (a lease under way goes straight back); jobs may end until the time
 * limit while renewals, settles and heartbeats go on; jobs that are left are requeued, newest first, so that the
 * oldest is the next to run; outcomes are written until acknowledged or until their leases end; the server's records
 * go; connections close; threads end.
 *
 * All that has its end less than a second after the time limit, whatever Redis does. What could not be written by then
 * is left: leases run out and other servers recover the tasks; tokens and records run out by themselves.
 */
#include "server/server.h"

#include "server/attempt.h"
#include "server/limit.h"
#include "server/recoverer.h"
#include "server/settle.h"

#include <utlist.h>

enum {
    SHUTDOWN_LAST_MS = 750, /* after the time limit, to write what is left; ending the threads comes on top */
    SHUTDOWN_CLEAR_MS = 750 /* at most, to remove the records */
};

/* ---- the time limit ---- */

static void give_back_running(asynq_server *server)
{
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_JOBS, queue, next)
    {
        while (queue->books.running) {
            asynq_job *newest = queue->books.running->prev; /* utlist: the head's prev is the tail */
            log_event(&server->log, LOG_TASK_REQUEUED, "%s (%s) of queue \"%s\" did not end in time", newest->id,
                      newest->type, queue->name);
            attempt_requeue(newest);
        }
    }
}

static void append_left(buf *text, const served_queue *queue)
{
    size_t tasks = HASH_COUNT(queue->books.jobs);
    if (tasks)
        buf_append_format(text, "%s%zu tasks of queue \"%s\"", text->length ? ", " : "", tasks, queue->name);
    if (fetch_is_under_way(queue) || fetch_is_unknown(queue))
        buf_append_format(text, "%swhat a lease without an answer took from queue \"%s\"", text->length ? ", " : "",
                          queue->name);
}

/* Redis has not taken what is left in time. */
static void leave_to_recovery(asynq_server *server)
{
    buf left;
    buf_init(&left, 0);
    for (size_t i = 0; i < server->queue_count; i++)
        append_left(&left, server->queues[i]);
    if (left.length && left.data)
        log_event(&server->log, LOG_SHUTDOWN_INCOMPLETE,
                  "Redis did not answer in time; left to recovery, when the session of this server has expired: %s",
                  left.data);
    buf_clear(&left);
    server->phase = SHUTDOWN_DONE;
}

static void shutdown_limit_reached(void *arg)
{
    asynq_server *server = arg;
    if (server->phase == SHUTDOWN_CLEARING) {
        server->phase = SHUTDOWN_DONE;
    } else if (server->shutdown.time_is_up) {
        leave_to_recovery(server);
    } else {
        server->shutdown.time_is_up = true; /* aggregations are given up: their tasks go back to their groups */
        give_back_running(server);
        loop_timer_set(&server->shutdown.limit, SHUTDOWN_LAST_MS);
    }
}

/* ---- the phases ---- */

void shutdown_begin(asynq_server *server)
{
    if (server->phase)
        return;
    server->phase = SHUTDOWN_JOBS_RUN;
    server->fetching = false;
    loop_timer_init(server->loop, &server->shutdown.limit, shutdown_limit_reached, server);
    loop_timer_set(&server->shutdown.limit, server->options.shutdown_timeout_ms);
    server->shutdown.ends_at_ms = loop_steady_ms(server->loop) + server->options.shutdown_timeout_ms + SHUTDOWN_LAST_MS;
    log_event(&server->log, LOG_SERVER_SHUTDOWN, "%zu tasks are running", server->running_count);
}

void shutdown_hurry(asynq_server *server)
{
    if (server->phase == SHUTDOWN_JOBS_RUN && !server->shutdown.time_is_up) {
        server->shutdown.ends_at_ms = loop_steady_ms(server->loop) + SHUTDOWN_LAST_MS;
        loop_timer_set(&server->shutdown.limit, 0);
    }
}

static bool jobs_run(const asynq_server *server)
{
    bool aggregates = server->aggregations && !server->shutdown.time_is_up;
    return server->running_count || fetch_has_leases_in_flight(server) || aggregates;
}

static bool outcomes_wait(const asynq_server *server)
{
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_JOBS, queue, next)
    if (!settle_is_idle(queue))
        return true;
    return server->lists[QUEUES_UNKNOWN] || limit_is_busy(server);
}

static void records_cleared(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)status; /* what is left runs out by itself after ten seconds */
    (void)error;
    (void)reply;
    asynq_server *server = arg;
    server->phase = SHUTDOWN_DONE;
    loop_timer_set(&server->shutdown.limit, 0);
}

static void clear_records(asynq_server *server)
{
    server->phase = SHUTDOWN_CLEARING;
    int64_t left_ms = server->shutdown.ends_at_ms - loop_steady_ms(server->loop);
    loop_timer_set(&server->shutdown.limit, left_ms < SHUTDOWN_CLEAR_MS ? left_ms : SHUTDOWN_CLEAR_MS);
    bytes own = identity_text(&server->process);
    session_end(server);
    if (broker_clear_server(&server->broker, own, records_cleared, server))
        server->phase = SHUTDOWN_DONE;
}

static void shutdown_finish(asynq_server *server)
{
    subscriber_stop(server); /* nothing is to be watched when pending commands end with the connections */
    server->broker.nodes = NULL;
    engine_stop(&server->engine);
}

void shutdown_stop(asynq_server *server)
{
    loop_timer_cancel(&server->shutdown.limit);
}

void shutdown_turn(asynq_server *server)
{
    if (!server->phase)
        return;
    if (server->phase == SHUTDOWN_JOBS_RUN && !jobs_run(server))
        server->phase = SHUTDOWN_SETTLING;
    if (server->phase == SHUTDOWN_SETTLING && !outcomes_wait(server))
        clear_records(server);
    if (server->phase == SHUTDOWN_DONE)
        shutdown_finish(server);
}
