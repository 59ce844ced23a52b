/* Deletes completed tasks whose retention is over, in bounded steps. */
#include "server/server.h"

#include "server/recoverer.h"

static void janitor_sweep(served_queue *queue);

static void janitor_swept(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    asynq_server *server = queue->server;
    queue->expiring = false;
    if (!status && broker_upkeep_moved(reply) >= (size_t)server->options.janitor_batch_size)
        janitor_sweep(queue);
    else if (status)
        queue_complain(queue, "delete completed tasks", error);
}

static void janitor_sweep(served_queue *queue)
{
    asynq_server *server = queue->server;
    if (queue->expiring || server->phase || !redis_conn_is_ready(server->work))
        return;
    size_t most = (size_t)server->options.janitor_batch_size;
    queue->expiring =
        broker_expire(server->work, &queue->keys, loop_now_ns(server->loop), most, janitor_swept, queue) == 0;
}

static void janitor_fired(void *arg)
{
    asynq_server *server = arg;
    for (size_t i = 0; i < server->queue_count; i++)
        if (!parking_skips_upkeep(server->queues[i]))
            janitor_sweep(server->queues[i]);
    loop_timer_set(&server->janitor, server->options.janitor_interval_ms);
}

int janitor_start(asynq_server *server)
{
    loop_timer_init(server->loop, &server->janitor, janitor_fired, server);
    loop_timer_set(&server->janitor, server->options.janitor_interval_ms);
    return ASYNQ_OK;
}

void janitor_stop(asynq_server *server)
{
    loop_timer_cancel(&server->janitor);
}
