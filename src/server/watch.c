/*
 * When to look into a queue for tasks: at once when Redis says that it changed, or by polling where Redis does not
 * tell. An empty queue is watched by its key `pending`, a paused one by its key `paused`.
 */
#include "server/server.h"

#include "server/groups.h"

enum {
    SAFETY_POLL_MS = 15000,
    FRUITLESS_MOST = 8, /* wake-ups without need to rest */
    FIRST_REST_MS = 10,
    LONGEST_REST_MS = 100, /* so long a task may wait if it comes just then */
    EXHAUSTED_REST_MS = 20 /* the same beside tasks that have no room */
};

static void look_again(void *arg)
{
    ahead_wake(arg);
    fetch_rested(arg);
}

/* What is there may be worth a look, whatever we know of it. */
static void wake_queue(served_queue *queue)
{
    ahead_wake(queue);
    queue->fetch.may_have_tasks = true;
}

static void queue_changed(void *arg)
{
    served_queue *queue = arg;
    if (queue->ahead.is_exhausted && queue->ahead.has_taken) {
        queue->ahead.has_taken = false; /* we may have done it: its length tells */
        watch_pending(queue);
        return;
    }
    queue->watch.fruitless_wakes++;
    wake_queue(queue);
}

static void pending_value(void *arg, const redis_value *value)
{
    const served_queue *queue = arg;
    if (redis_value_integer(value) > (queue->ahead.is_exhausted ? queue->ahead.looked_at.passed : 0))
        look_again(arg);
}

static void paused_value(void *arg, const redis_value *value)
{
    if (redis_value_integer(value) == 0)
        look_again(arg);
}

static void watch_init(served_queue *queue)
{
    queue->fetch.may_have_tasks = true;
    loop_timer_init(queue->server->loop, &queue->watch.rest, look_again, queue);
    queue->watch.pending = (key_watch){
        .key = queue->keys.key[QUEUE_KEY_PENDING],
        .read = {"LLEN", "KEY"},
        .value = pending_value,
        .changed = queue_changed,
        .arg = queue,
    };
    queue->watch.paused = (key_watch){
        .key = queue->keys.key[QUEUE_KEY_PAUSED],
        .read = {"EXISTS", "KEY"},
        .value = paused_value,
        .changed = queue_changed,
        .arg = queue,
    };
}

/* Without notification the queue waits for the poll timer. */
static void watch_by(served_queue *queue, key_watch *watch)
{
    queue->fetch.may_have_tasks = false;
    if (queue->server->tracking)
        key_watch_arm(watch, queue->broker->conn);
}

void watch_pending(served_queue *queue)
{
    watch_by(queue, &queue->watch.pending);
}

int64_t watch_rest_ms(unsigned fruitless_wakes)
{
    if (fruitless_wakes <= FRUITLESS_MOST)
        return 0;
    unsigned doublings = fruitless_wakes - FRUITLESS_MOST - 1;
    int64_t ms = (int64_t)FIRST_REST_MS << (doublings < 10 ? doublings : 10);
    return ms < LONGEST_REST_MS ? ms : LONGEST_REST_MS;
}

/* Rests before watching again, if too many wake-ups were in vain. False: there is no need. */
static bool watch_rests(served_queue *queue, bool found_any, int64_t most_ms)
{
    if (found_any)
        queue->watch.fruitless_wakes = 0;
    int64_t rest_ms = watch_rest_ms(queue->watch.fruitless_wakes);
    if (!queue->server->tracking || !rest_ms)
        return false;
    queue->fetch.may_have_tasks = false;
    queue->watch.fruitless_wakes++;
    loop_timer_set(&queue->watch.rest, rest_ms < most_ms ? rest_ms : most_ms);
    return true;
}

void watch_queue_exhausted(served_queue *queue, bool found_any)
{
    if (watch_rests(queue, found_any, EXHAUSTED_REST_MS))
        return;
    if (queue->watch.pending.state == WATCH_UNARMED)
        queue->ahead.has_taken = false;
    watch_pending(queue);
}

void watch_queue_empty(served_queue *queue, bool found_any)
{
    if (watch_rests(queue, found_any, LONGEST_REST_MS))
        return;
    if (queue->server->tracking && queue->server->parking.is_on)
        parking_ask(queue);
    else
        watch_pending(queue);
}

void watch_queue_paused(served_queue *queue)
{
    watch_by(queue, &queue->watch.paused);
}

void watch_all_lost(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        key_watch_lost(&queue->watch.pending);
        key_watch_lost(&queue->watch.paused);
        queue->watch.fruitless_wakes = 0;
        queue->parking.off_duty = false;
        parking_forget(queue);
    }
    for (size_t i = 0; i < server->queue_count; i++)
        for (size_t j = 0; j < DUE_SOURCES; j++)
            key_watch_lost(&server->queues[i]->due[j].watch);
    for (size_t i = 0; i < server->queue_count; i++)
        groups_look(server->queues[i]);
    forwarder_look(server);
}

void watch_message(asynq_server *server, bytes key)
{
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        key_watch *watches[] = {&queue->watch.pending, &queue->watch.paused, &queue->due[0].watch, &queue->due[1].watch,
                                &queue->groups.watch};
        for (size_t j = 0; j < sizeof watches / sizeof *watches; j++)
            if (bytes_equal(watches[j]->key, key)) {
                key_watch_message(watches[j]);
                return;
            }
    }
}

static void wake_all(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        wake_queue(server->queues[i]);
}

static int64_t jittered_ms(asynq_server *server, int64_t ms)
{
    return ms / 2 + server_random_below(server, ms);
}

static void poll_fired(void *arg)
{
    asynq_server *server = arg;
    if (!server->tracking)
        wake_all(server);
    loop_timer_set(&server->polling.poll, jittered_ms(server, server->options.task_check_interval_ms));
}

static void safety_poll_fired(void *arg)
{
    asynq_server *server = arg;
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        if (parking_skips_upkeep(queue))
            continue;
        wake_queue(queue);
        forwarder_look_at(queue);
    }
    loop_timer_set(&server->polling.safety_poll, jittered_ms(server, SAFETY_POLL_MS));
}

int watch_start(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        watch_init(server->queues[i]);
    loop_timer_init(server->loop, &server->polling.poll, poll_fired, server);
    loop_timer_init(server->loop, &server->polling.safety_poll, safety_poll_fired, server);
    poll_fired(server);
    loop_timer_set(&server->polling.safety_poll, jittered_ms(server, SAFETY_POLL_MS));
    return ASYNQ_OK;
}

void watch_stop(asynq_server *server)
{
    loop_timer_cancel(&server->polling.poll);
    loop_timer_cancel(&server->polling.safety_poll);
    for (size_t i = 0; i < server->queue_count; i++)
        loop_timer_cancel(&server->queues[i]->watch.rest);
}
