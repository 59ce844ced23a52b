/* Deletes completed tasks whose retention is over, in bounded steps. */
#include "server/server.h"

static int janitor_send(served_queue *queue, broker_cb replied, void *arg)
{
    asynq_server *server = queue->server;
    size_t max = (size_t)server->options.janitor_batch_size;
    return broker_expire(queue->broker, &queue->keys, loop_now_ns(server->loop), max, replied, arg);
}

static bool janitor_swept(served_queue *queue, const redis_value *reply)
{
    return broker_upkeep_moved(reply) >= (size_t)queue->server->options.janitor_batch_size;
}

const duty duty_expire = {.what = "delete completed tasks", .send = janitor_send, .replied = janitor_swept};

static void janitor_fired(void *arg)
{
    asynq_server *server = arg;
    duty_run_all(server, DUTY_EXPIRE);
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
