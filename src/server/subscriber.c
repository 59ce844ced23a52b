/*
 * The subscriber connection: cancellations of tasks, and Redis's messages about watched keys.
 *
 * Notification works only when three things hold: the subscriber is subscribed to Redis's invalidation channel, the
 * work connection is tracked with the subscriber as its target, and both talk to the same Redis process. Whenever one
 * breaks, every queue is looked into and polling takes over until all hold again.
 */
#include "server/server.h"

#include "server/attempt.h"

#include <string.h>

enum { PING_PERIOD_MS = 6000 }; /* a little more than a beat */

static const char invalidate_channel[] = "__redis__:invalidate";

static void refuse(asynq_server *server, const char *reason)
{
    server->tracking = false;
    if (!server->subscriber.tracking_refused)
        log_warn(&server->log,
                 "Redis does not notify us of new tasks (%s); queues are polled every %d ms instead. If the "
                 "user lacks rights, for the channel %s or for client tracking, these are they: "
                 "&%s +client|tracking +client|caching",
                 reason, (int)server->options.task_check_interval_ms, invalidate_channel, invalidate_channel);
    server->subscriber.tracking_refused = true;
}

static void tracking_replied(void *arg, const redis_result *result)
{
    asynq_server *server = arg;
    asynq_error error;
    if (result->outcome != REDIS_REPLIED)
        return; /* the next connection tries again */
    if (redis_result_check(result, &error)) {
        refuse(server, error.text);
        return;
    }
    if (strcmp(redis_conn_run_id(server->broker.conn), redis_conn_run_id(server->subscriber.conn)) != 0) {
        redis_conn_reset(server->subscriber.conn, "it is connected to another Redis than the work connection");
        return;
    }
    server->tracking = true;
    server->subscriber.tracking_refused = false;
    watch_all_lost(server);
}

/* Both connections report here; the last one to become ready does it. */
static void subscriber_enable_tracking(asynq_server *server)
{
    server->tracking = false;
    if (!broker_is_ready(&server->broker) || !redis_conn_is_ready(server->subscriber.conn) ||
        server->subscriber.subscriptions < 1)
        return;
    redis_args *args = redis_conn_args(server->broker.conn);
    const char *words[] = {"CLIENT", "TRACKING", "ON", "REDIRECT"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        redis_args_add_text(args, words[i]);
    redis_args_add_integer(args, redis_conn_client_id(server->subscriber.conn));
    redis_args_add_text(args, "OPTIN");
    /* Fails only when the connection goes. */
    (void)!redis_conn_command(server->broker.conn, args, tracking_replied, server);
}

static void invalidations_subscribed(void *arg, const redis_result *result)
{
    asynq_server *server = arg;
    asynq_error error;
    if (result->outcome != REDIS_REPLIED)
        return;
    if (redis_result_check(result, &error)) {
        refuse(server, error.text);
        return;
    }
    server->subscriber.subscriptions++;
    subscriber_enable_tracking(server);
}

static void cancellations_subscribed(void *arg, const redis_result *result)
{
    asynq_server *server = arg;
    asynq_error error;
    if (result->outcome == REDIS_REPLIED && redis_result_check(result, &error))
        log_repeated(&server->log, &server->complaint, ASYNQ_LOG_WARN, "tasks cannot be cancelled from outside: %s",
                     error.text);
}

static int subscribe(asynq_server *server, bytes channel, redis_result_cb cb)
{
    redis_args *args = redis_conn_args(server->subscriber.conn);
    redis_args_add_text(args, "SUBSCRIBE");
    redis_args_add(args, channel);
    return redis_conn_command(server->subscriber.conn, args, cb, server);
}

static void wake_subscribed(void *arg, const redis_result *result)
{
    asynq_server *server = arg;
    asynq_error error;
    server->parking.can_be_woken = result->outcome == REDIS_REPLIED && redis_result_check(result, &error) == 0;
}

static int subscribe_wake(asynq_server *server)
{
    buf_clear(&server->parking.wake_channel);
    buf_append(&server->parking.wake_channel, global_key_name(&server->space, GLOBAL_KEY_WAKE).data,
               global_key_name(&server->space, GLOBAL_KEY_WAKE).length);
    buf_append_text(&server->parking.wake_channel, server->process.id);
    if (buf_failed(&server->parking.wake_channel))
        return ASYNQ_E_NO_MEMORY;
    return subscribe(server, (bytes){server->parking.wake_channel.data, server->parking.wake_channel.length},
                     wake_subscribed);
}

static void subscriber_connected(void *arg)
{
    asynq_server *server = arg;
    server->subscriber.subscriptions = 0;
    if (subscribe_wake(server) ||
        subscribe(server, global_key_name(&server->space, GLOBAL_KEY_CANCEL), cancellations_subscribed) ||
        subscribe(server, bytes_of(invalidate_channel), invalidations_subscribed))
        redis_conn_reset(server->subscriber.conn, "cannot subscribe");
}

static void subscriber_down(void *arg, const asynq_error *error)
{
    (void)error;
    asynq_server *server = arg;
    server->subscriber.subscriptions = 0;
    server->parking.can_be_woken = false;
    if (!server->tracking)
        return;
    server->tracking = false; /* the work connection is not told, so messages may be lost from now on */
    watch_all_lost(server);
}

/* An id names tasks in all queues. */
static void cancel(asynq_server *server, bytes id)
{
    for (size_t i = 0; i < server->queue_count; i++) {
        asynq_job *job = books_find(server->queues[i], id);
        if (job && job->state == JOB_RUNNING)
            attempt_give_up(job, "context canceled");
    }
}

static void take_message(asynq_server *server, bytes text)
{
    const bytes prefix = bytes_of(WAKE_TELL);
    bool is_told = text.length >= prefix.length && memcmp(text.data, prefix.data, prefix.length) == 0;
    if (is_told && server->options.on_message)
        server->options.on_message(text.data + prefix.length, text.length - prefix.length, server->options.arg);
}

/* The name of a queue, or a message. */
static void wake_or_tell(asynq_server *server, bytes text)
{
    if (!parking_woken(server, text))
        take_message(server, text);
}

static void subscriber_message(void *arg, const redis_value *message)
{
    asynq_server *server = arg;
    const redis_value *channel = &message->elements[1], *content = &message->elements[2];
    server->subscriber.heard = true;
    if (bytes_equal(channel->text, global_key_name(&server->space, GLOBAL_KEY_CANCEL)))
        cancel(server, content->text);
    else if (bytes_equal(channel->text,
                         (bytes){server->parking.wake_channel.data, server->parking.wake_channel.length}))
        wake_or_tell(server, content->text);
    else if (content->type == REDIS_ARRAY)
        for (size_t i = 0; i < content->count; i++)
            watch_message(server, content->elements[i].text);
    else if (redis_value_is_text(channel, invalidate_channel))
        watch_all_lost(server); /* FLUSHALL, FLUSHDB: all watches are gone */
}

static void ping_fired(void *arg)
{
    asynq_server *server = arg;
    /* Each beat publishes to us. Without that: the connection gives itself up when nothing answers for long. */
    if (!server->subscriber.heard && redis_conn_is_ready(server->subscriber.conn))
        (void)!redis_conn_commandf(server->subscriber.conn, NULL, NULL, 1, "PING");
    server->subscriber.heard = false;
    loop_timer_set(&server->subscriber.ping, PING_PERIOD_MS);
}

int subscriber_start(asynq_server *server)
{
    loop_timer_init(server->loop, &server->subscriber.ping, ping_fired, server);
    loop_timer_set(&server->subscriber.ping, PING_PERIOD_MS);
    server->subscriber.conn = redis_conn_new(&(redis_conn_options){
        .loop = server->loop,
        .uri = &server->uri,
        .log = &server->log,
        .name = "asynq-subscriber",
        .key_prefix = server->space.prefix.data,
        .without_scripts = true,
        .events =
            {.ready = subscriber_connected, .down = subscriber_down, .message = subscriber_message, .arg = server},
    });
    return server->subscriber.conn ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

void subscriber_ready(asynq_server *server)
{
    if (!server->tracking)
        subscriber_enable_tracking(server);
}

void subscriber_lost(asynq_server *server)
{
    server->tracking = false;
}

void subscriber_stop(asynq_server *server)
{
    loop_timer_cancel(&server->subscriber.ping);
    redis_conn_free(server->subscriber.conn);
    server->subscriber.conn = NULL;
}
