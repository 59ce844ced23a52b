/*
 * Tasks whose time has come: from `scheduled` and `retry` to `pending`. A timer is set to the next due score; the keys
 * are watched, so that an earlier task, whoever adds it, sets the timer anew. Without notification it is polled.
 */
#include "server/server.h"

#include "base/clock.h"
#include "base/error.h"

static const char *const due_read[] = {"ZRANGE", "KEY", "0", "0", "WITHSCORES", NULL};

enum {
    FORWARD_FAR_MS = 3600 * 1000,
    NOTHING_DUE = -1 /* as due time */
};

/* Sets the timer to the next due time, or `most_ms` from now if that is earlier. */
static void due_set_timer(due_source *due, int64_t max_ms)
{
    asynq_server *server = due->queue->server;
    int64_t wait_ms = FORWARD_FAR_MS;
    if (due->next_due >= 0) {
        double left_ms = due->next_due * 1000.0 - (double)loop_now_ns(server->loop) / 1e6;
        wait_ms = left_ms < 0 ? 0 : left_ms < FORWARD_FAR_MS ? (int64_t)left_ms + 1 : FORWARD_FAR_MS;
    }
    loop_timer_set(&due->timer, wait_ms < max_ms ? wait_ms : max_ms);
}

static bool is_on_duty(const served_queue *queue)
{
    return !queue->parking.off_duty && !queue_is_leaving(queue);
}

static void due_expect(due_source *due, double next_due)
{
    asynq_server *server = due->queue->server;
    due->fruitless_wakes = next_due == due->next_due ? due->fruitless_wakes : 0;
    due->next_due = next_due;
    if (!is_on_duty(due->queue))
        return;
    if (next_due == NOTHING_DUE && due->watch.state == WATCH_ARMED) {
        loop_timer_cancel(&due->timer);
        return;
    }
    due_set_timer(due,
                  subscriber_is_tracking(due->queue) ? FORWARD_FAR_MS : server->options.delayed_task_check_interval_ms);
}

static void due_report_dropped(due_source *due, const redis_value *dropped)
{
    for (size_t i = 0; dropped && i < dropped->count; i++)
        queue_tell_dropped(due->queue, dropped->elements[i].text);
}

static void due_value(void *arg, const redis_value *value)
{
    due_source *due = arg;
    const redis_value *score = redis_value_at(value, 1);
    if (!due->in_flight)
        due_expect(due, score ? redis_value_double(score) : NOTHING_DUE);
}

static void due_changed(void *arg)
{
    due_source *due = arg;
    due->fruitless_wakes++;
    if (due->in_flight || !is_on_duty(due->queue) || !subscriber_is_tracking(due->queue))
        return; /* a script under way arms when it is done */
    int64_t rest_ms = watch_rest_ms(due->fruitless_wakes);
    if (rest_ms)
        due_set_timer(due, rest_ms); /* then the script looks and arms */
    else
        watch_arm(due->queue, &due->watch);
}

static void due_forwarded(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    due_source *due = arg;
    asynq_server *server = due->queue->server;
    due->in_flight = false;
    asynq_error odd;
    if (!status && !broker_forward_is_sound(reply)) {
        status = error_set(&odd, ASYNQ_E_MALFORMED, "Redis answered with something else than what was moved");
        error = &odd;
    }
    if (status) {
        queue_complain(due->queue, "move tasks that are due", error);
        if (is_on_duty(due->queue))
            loop_timer_set(&due->timer, error_pause_next_ms(server, &due->pause));
        return;
    }
    error_pause_end(&due->pause);
    due_report_dropped(due, broker_forward_dropped(reply));
    double next_due;
    due_expect(due, broker_upkeep_next(reply, &next_due) ? next_due : NOTHING_DUE);
    if (subscriber_is_tracking(due->queue) && is_on_duty(due->queue)) /* its reply tells of what came in between */
        watch_arm(due->queue, &due->watch);
}

static void due_look(due_source *due)
{
    asynq_server *server = due->queue->server;
    if (due->in_flight || server->phase || !is_on_duty(due->queue))
        return;
    if (broker_forward(due->queue->broker, &due->queue->keys, due->key, loop_now_ns(server->loop), due_forwarded,
                       due) == 0)
        due->in_flight = true;
    else
        loop_timer_set(&due->timer, error_pause_next_ms(server, &due->pause));
}

static void due_timer_fired(void *arg)
{
    due_look(arg);
}

static void forwarder_init(served_queue *queue)
{
    static const queue_key sources[DUE_SOURCES] = {QUEUE_KEY_SCHEDULED, QUEUE_KEY_RETRY};
    for (int i = 0; i < DUE_SOURCES; i++) {
        due_source *due = &queue->due[i];
        due->queue = queue;
        due->key = sources[i];
        due->next_due = NOTHING_DUE;
        loop_timer_init(queue->server->loop, &due->timer, due_timer_fired, due);
        due->watch = (key_watch){
            .key = queue->keys.key[sources[i]],
            .read = due_read,
            .value = due_value,
            .changed = due_changed,
            .arg = due,
        };
    }
}

void forwarder_look_at(served_queue *queue)
{
    for (int i = 0; i < DUE_SOURCES; i++)
        due_look(&queue->due[i]);
}

void forwarder_ask_at(served_queue *queue)
{
    for (int i = 0; i < DUE_SOURCES; i++)
        if (!is_on_duty(queue) || !watch_arm(queue, &queue->due[i].watch))
            due_look(&queue->due[i]);
}

void forwarder_rest(served_queue *queue)
{
    for (int i = 0; i < DUE_SOURCES; i++)
        loop_timer_cancel(&queue->due[i].timer);
}

bool forwarder_is_busy(const served_queue *queue)
{
    for (int i = 0; i < DUE_SOURCES; i++)
        if (queue->due[i].in_flight)
            return true;
    return false;
}

int forwarder_queue_start(served_queue *queue)
{
    forwarder_init(queue);
    return ASYNQ_OK;
}

void forwarder_queue_stop(served_queue *queue)
{
    forwarder_rest(queue);
}
