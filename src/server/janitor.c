/*
 * Deletes completed tasks whose retention is over, in bounded steps: when the first of a queue is over, which a timer
 * tells, and at most once in each interval. Where Redis does not tell of new ones, in each interval.
 */
#include "server/server.h"

static const char *const completed_read[] = {"ZRANGE", "KEY", "0", "0", "WITHSCORES", NULL};

enum { JANITOR_FAR_MS = 3600 * 1000 };

static int janitor_send(served_queue *queue, broker_cb replied, void *arg)
{
    asynq_server *server = queue->server;
    size_t max = (size_t)server->options.janitor_batch_size;
    return broker_expire(queue->broker, &queue->keys, loop_now_ns(server->loop), max, replied, arg);
}

/* Not so soon that each task costs a call of its own. */
static void janitor_expect(served_queue *queue, double next_s)
{
    asynq_server *server = queue->server;
    int64_t min_ms = server->options.janitor_interval_ms;
    double left_ms = next_s * 1000.0 - (double)loop_now_ns(server->loop) / 1e6;
    int64_t wait_ms = left_ms > JANITOR_FAR_MS ? JANITOR_FAR_MS : left_ms > 0 ? (int64_t)left_ms + 1 : 0;
    loop_timer_set(&queue->janitor.timer, wait_ms > min_ms ? wait_ms : min_ms);
}

static bool janitor_is_told(served_queue *queue)
{
    return subscriber_is_tracking(queue) && watch_arm(queue, &queue->janitor.watch);
}

static bool janitor_swept(served_queue *queue, const redis_value *reply)
{
    double next_s;
    if (broker_upkeep_moved(reply) >= (size_t)queue->server->options.janitor_batch_size)
        return true;
    if (broker_upkeep_next(reply, &next_s))
        janitor_expect(queue, next_s);
    else if (janitor_is_told(queue))
        loop_timer_cancel(&queue->janitor.timer);
    return false;
}

const duty duty_expire = {.what = "delete completed tasks", .send = janitor_send, .replied = janitor_swept};

/* If the call fails, or is not ours to make, the next one is made after the same time. */
static void janitor_fired(void *arg)
{
    served_queue *queue = arg;
    if (queue_is_leaving(queue))
        return;
    loop_timer_set(&queue->janitor.timer, queue->server->options.janitor_interval_ms);
    if (!parking_skips_upkeep(queue))
        duty_run(queue, DUTY_EXPIRE);
}

static void janitor_value(void *arg, const redis_value *value)
{
    served_queue *queue = arg;
    const redis_value *score = redis_value_at(value, 1);
    if (score)
        janitor_expect(queue, redis_value_double(score));
    else
        loop_timer_cancel(&queue->janitor.timer);
}

static void janitor_changed(void *arg)
{
    served_queue *queue = arg;
    if (!loop_timer_is_set(&queue->janitor.timer))
        loop_timer_set(&queue->janitor.timer, queue->server->options.janitor_interval_ms);
}

void janitor_look_at(served_queue *queue)
{
    if (!janitor_is_told(queue))
        janitor_changed(queue);
}

int janitor_queue_start(served_queue *queue)
{
    loop_timer_init(queue->server->loop, &queue->janitor.timer, janitor_fired, queue);
    queue->janitor.watch = (key_watch){
        .key = queue->keys.key[QUEUE_KEY_COMPLETED],
        .read = completed_read,
        .value = janitor_value,
        .changed = janitor_changed,
        .arg = queue,
    };
    return ASYNQ_OK;
}

void janitor_queue_stop(served_queue *queue)
{
    loop_timer_cancel(&queue->janitor.timer);
}
