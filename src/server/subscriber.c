/*
 * The subscriber connections, one to each node: cancellations of tasks, and Redis's messages about watched keys.
 *
 * Notification works only when three things hold: the subscriber is subscribed to Redis's invalidation channel, the
 * work connection is tracked with the subscriber as its target, and both talk to the same Redis process. Whenever one
 * breaks, every queue is looked into and polling takes over until all hold again.
 *
 * A cluster brings what is published to every node, and so to each of our subscribers: the one counts that stands
 * beside the queue's work connection, or, where there is no queue, beside that of the channel's slot.
 */
#include "server/server.h"

#include "server/attempt.h"

#include "base/alloc.h"

#include <string.h>
#include <utlist.h>

enum { PING_PERIOD_MS = 6000 }; /* a little more than a beat */

static const char invalidate_channel[] = "__redis__:invalidate";

static void subscriber_refuse(node_subscriber *s, const char *reason)
{
    asynq_server *server = s->server;
    s->is_tracking = false;
    if (!server->subscriber.tracking_refused)
        log_event(
            &server->log, LOG_REDIS_NOTIFICATIONS,
            "%s; queues are polled every %d ms instead%s. If the user lacks rights, for the channel %s or for client "
            "tracking, these are they: &%s +client|tracking +client|caching",
            reason, (int)server->options.task_check_interval_ms,
            s->cannot_cancel ? ", and tasks cannot be cancelled from outside" : "", invalidate_channel,
            invalidate_channel);
    server->subscriber.tracking_refused = true;
}

static void tracking_replied(void *arg, const redis_result *result)
{
    node_subscriber *s = ((redis_node *)arg)->data; /* NULL: it has ended, but not the work connection */
    asynq_error error;
    if (!s || result->outcome != REDIS_REPLIED)
        return; /* the next connection tries again */
    if (redis_result_check(result, &error)) {
        subscriber_refuse(s, error.text);
        return;
    }
    if (strcmp(redis_conn_run_id(s->node->conn), redis_conn_run_id(s->conn)) != 0) {
        redis_conn_reset(s->conn, "it is connected to another Redis than the work connection");
        return;
    }
    s->is_tracking = true;
    s->server->subscriber.tracking_refused = false;
    watch_all_lost(s->server);
}

/* Both connections report here; the last one to become ready does it. */
static void subscriber_enable_tracking(node_subscriber *s)
{
    redis_conn *work = s->node->conn;
    s->is_tracking = false;
    if (!redis_conn_is_ready(work) || !redis_conn_is_ready(s->conn) || s->subscriptions < 1)
        return;
    redis_args *args = redis_conn_args(work);
    const char *words[] = {"CLIENT", "TRACKING", "ON", "REDIRECT"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        redis_args_add_text(args, words[i]);
    redis_args_add_integer(args, redis_conn_client_id(s->conn));
    redis_args_add_text(args, "OPTIN");
    /* Fails only when the connection goes. */
    (void)!redis_conn_command(work, args, tracking_replied, s->node);
}

static void invalidations_subscribed(void *arg, const redis_result *result)
{
    node_subscriber *s = arg;
    asynq_error error;
    if (result->outcome != REDIS_REPLIED)
        return;
    if (redis_result_check(result, &error)) {
        subscriber_refuse(s, error.text);
        return;
    }
    if (s->cannot_cancel)
        log_event_repeated(&s->server->log, &s->server->complaint, LOG_CANCELLATION, "%s", s->cancel_error.text);
    s->subscriptions++;
    subscriber_enable_tracking(s);
}

static void cancellations_subscribed(void *arg, const redis_result *result)
{
    node_subscriber *s = arg;
    asynq_error error;
    if (result->outcome != REDIS_REPLIED)
        return; /* it may be gone, with its connection */
    s->cannot_cancel = redis_result_check(result, &error);
    if (s->cannot_cancel)
        s->cancel_error = error;
}

static int subscribe(node_subscriber *s, bytes channel, redis_result_cb cb)
{
    redis_args *args = redis_conn_args(s->conn);
    redis_args_add_text(args, "SUBSCRIBE");
    redis_args_add(args, channel);
    return redis_conn_command(s->conn, args, cb, s);
}

static void wake_subscribed(void *arg, const redis_result *result)
{
    node_subscriber *s = arg;
    asynq_error error;
    if (result->outcome != REDIS_REPLIED) /* it may be gone, with its connection */
        return;
    s->can_be_woken = redis_result_check(result, &error) == 0;
    /* The first beat comes before, so that a fleet would not park for its first seconds. */
    parking_reconsider(s->server);
}

static bytes wake_channel(const asynq_server *server)
{
    return (bytes){server->parking.wake_channel.data, server->parking.wake_channel.length};
}

/* The map may be old; or it is the node that has not heard of the slot yet, and is asked again with the next look. */
static void slot_subscribed(void *arg, const redis_result *result)
{
    node_subscriber *s = arg;
    if (result->outcome != REDIS_NOT_RUN || !result->redirect)
        return;
    s->lacks_slots = true;
    memset(s->slots, 0, sizeof s->slots);
    redis_nodes_slot_left(s->server->broker.nodes);
}

static void slot_note(node_subscriber *s, int slot, bool is_subscribed)
{
    unsigned char bit = (unsigned char)(1u << slot % 8);
    s->slots[slot / 8] = (unsigned char)(is_subscribed ? s->slots[slot / 8] | bit : s->slots[slot / 8] & ~bit);
}

/* One channel tells of a slot; its queue may go meanwhile. */
static void subscriber_watch_slot(node_subscriber *s, const queue_keys *keys)
{
    bool is_watched = s->slots[keys->slot / 8] & 1u << keys->slot % 8;
    if (is_watched || redis_nodes_at(s->server->broker.nodes, keys->slot) != s->node)
        return;
    redis_args *args = redis_conn_args(s->conn);
    redis_args_add_text(args, "SSUBSCRIBE");
    redis_args_add(args, keys->key[QUEUE_KEY_SLOT]);
    bool is_sent = redis_conn_command(s->conn, args, slot_subscribed, s) == 0; /* else the map tells, later */
    slot_note(s, keys->slot, is_sent);
}

/*
 * A slot that moves takes the watches of its queues with it, and nobody tells; but subscriptions to a channel of the
 * slot end with a message. Redis 6.2 has no such channels: there the map of slots tells, which is read now and then.
 */
static void subscriber_watch_slots(node_subscriber *s)
{
    const asynq_server *server = s->server;
    const redis_nodes *nodes = server->broker.nodes;
    if (!redis_nodes_is_cluster(nodes) || !redis_conn_is_ready(s->conn))
        return;
    for (size_t i = 0; i < server->queue_count; i++)
        subscriber_watch_slot(s, &server->queues[i]->keys);
}

int subscriber_queue_start(served_queue *queue)
{
    const redis_nodes *nodes = queue->broker->nodes;
    const redis_node *node = redis_nodes_is_cluster(nodes) ? redis_nodes_at(nodes, queue->keys.slot) : NULL;
    node_subscriber *s = node ? node->data : NULL;
    if (s && redis_conn_is_ready(s->conn))
        subscriber_watch_slot(s, &queue->keys);
    return ASYNQ_OK;
}

static void subscriber_connected(void *arg)
{
    node_subscriber *s = arg;
    const asynq_server *server = s->server;
    s->subscriptions = 0;
    s->can_be_woken = s->cannot_cancel = false;
    memset(s->slots, 0, sizeof s->slots);
    if (subscribe(s, wake_channel(server), wake_subscribed) ||
        subscribe(s, global_key_name(&server->space, GLOBAL_KEY_CANCEL), cancellations_subscribed) ||
        subscribe(s, bytes_of(invalidate_channel), invalidations_subscribed))
        redis_conn_reset(s->conn, "cannot subscribe");
    else
        subscriber_watch_slots(s);
}

static void subscriber_down(void *arg, const asynq_error *error)
{
    (void)error;
    node_subscriber *s = arg;
    s->subscriptions = 0;
    s->can_be_woken = false;
    if (!s->is_tracking)
        return;
    s->is_tracking = false; /* the work connection is not told, so messages may be lost from now on */
    watch_all_lost(s->server);
}

/* An id names tasks in all queues. */
static void subscriber_cancel(asynq_server *server, bytes id)
{
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_WITH_JOBS, queue, next)
    {
        asynq_job *job = books_find(queue, id);
        if (job && job->state == JOB_RUNNING)
            attempt_give_up(job, ASYNQ_CANCEL_REQUESTED, "context canceled");
    }
}

static void take_message(const node_subscriber *s, bytes text)
{
    const asynq_server *server = s->server;
    const bytes prefix = bytes_of(WAKE_TELL);
    bool is_told = text.length >= prefix.length && memcmp(text.data, prefix.data, prefix.length) == 0;
    if (is_told && server->options.on_message &&
        redis_nodes_at(server->broker.nodes, key_slot(wake_channel(server))) == s->node)
        server->options.on_message(text.data + prefix.length, text.length - prefix.length, server->options.arg);
}

/* The name of a queue, or a message. */
static void wake_or_tell(const node_subscriber *s, bytes text)
{
    if (!parking_woken(s->server, s->node, text))
        take_message(s, text);
}

static void subscriber_message(void *arg, const redis_value *message)
{
    node_subscriber *s = arg;
    asynq_server *server = s->server;
    const redis_value *channel = &message->elements[1], *content = &message->elements[2];
    s->heard = true;
    if (redis_value_is_text(&message->elements[0], "sunsubscribe")) {
        slot_note(s, key_slot(channel->text), false);
        redis_nodes_slot_left(server->broker.nodes);
    } else if (bytes_equal(channel->text, global_key_name(&server->space, GLOBAL_KEY_CANCEL)))
        subscriber_cancel(server, content->text);
    else if (bytes_equal(channel->text, wake_channel(server)))
        wake_or_tell(s, content->text);
    else if (content->type == REDIS_ARRAY)
        for (size_t i = 0; i < content->count; i++)
            watch_message(server, content->elements[i].text);
    else if (redis_value_is_text(channel, invalidate_channel))
        watch_all_lost(server); /* FLUSHALL, FLUSHDB: all watches are gone */
}

static void ping_fired(void *arg)
{
    asynq_server *server = arg;
    node_subscriber *s;
    DL_FOREACH(server->subscriber.list, s) {
        /* Each beat publishes to us. Without that: the connection gives itself up when nothing answers for long. */
        if (!s->heard && redis_conn_is_ready(s->conn))
            (void)!redis_conn_commandf(s->conn, NULL, NULL, 1, "PING");
        s->heard = false;
        if (s->lacks_slots)
            subscriber_watch_slots(s);
        s->lacks_slots = false;
    }
    loop_timer_set(&server->subscriber.ping, PING_PERIOD_MS);
}

int subscriber_start(asynq_server *server)
{
    bytes prefix = global_key_name(&server->space, GLOBAL_KEY_WAKE);
    buf_append(&server->parking.wake_channel, prefix.data, prefix.length);
    buf_append_text(&server->parking.wake_channel, server->process.id);
    loop_timer_init(server->loop, &server->subscriber.ping, ping_fired, server);
    loop_timer_set(&server->subscriber.ping, PING_PERIOD_MS);
    return buf_failed(&server->parking.wake_channel) ? ASYNQ_E_NO_MEMORY : ASYNQ_OK;
}

/* Out of memory: the node's queues are polled until it is connected anew. */
static void subscriber_add(asynq_server *server, redis_node *node)
{
    node_subscriber *s = mem_calloc(1, sizeof *s);
    if (!s)
        return;
    s->server = server;
    s->node = node;
    s->conn = redis_conn_new(&(redis_conn_options){
        .loop = server->loop,
        .uri = &node->uri,
        .log = &server->log,
        .name = "asynq-subscriber",
        .key_prefix = server->space.prefix.data,
        .without_scripts = true,
        .in_cluster = redis_nodes_is_cluster(server->broker.nodes),
        .node_id = node->id,
        .events = {.ready = subscriber_connected, .down = subscriber_down, .message = subscriber_message, .arg = s},
    });
    if (!s->conn) {
        mem_free(s);
        return;
    }
    node->data = s;
    DL_APPEND(server->subscriber.list, s);
}

void subscriber_node_ready(asynq_server *server, redis_node *node)
{
    if (!node->data) {
        subscriber_add(server, node);
        return;
    }
    subscriber_enable_tracking(node->data);
    subscriber_watch_slots(node->data);
}

void subscriber_ready(asynq_server *server)
{
    node_subscriber *s;
    DL_FOREACH(server->subscriber.list, s)
        if (!s->is_tracking)
            subscriber_enable_tracking(s);
}

void subscriber_node_lost(redis_node *node)
{
    node_subscriber *s = node->data;
    if (s)
        s->is_tracking = false;
}

void subscriber_node_gone(redis_node *node)
{
    node_subscriber *s = node->data;
    if (!s)
        return;
    node->data = NULL;
    DL_DELETE(s->server->subscriber.list, s);
    redis_conn_free(s->conn);
    mem_free(s);
}

bool subscriber_is_tracking(const served_queue *queue)
{
    return subscriber_tracks(queue->server, queue->keys.slot);
}

bool subscriber_tracks(const asynq_server *server, int slot)
{
    const redis_nodes *nodes = server->broker.nodes;
    const redis_node *node = nodes ? redis_nodes_at(nodes, slot) : NULL;
    const node_subscriber *s = node ? node->data : NULL;
    return s && s->is_tracking;
}

bool subscriber_is_tracking_all(const asynq_server *server)
{
    const node_subscriber *s;
    size_t count = 0;
    DL_FOREACH(server->subscriber.list, s)
        count += s->is_tracking;
    return count && count == redis_nodes_count(server->broker.nodes);
}

bool subscriber_can_be_woken(const asynq_server *server)
{
    const node_subscriber *s;
    DL_FOREACH(server->subscriber.list, s)
        if (!s->can_be_woken)
            return false;
    return server->subscriber.list != NULL;
}

void subscriber_stop(asynq_server *server)
{
    node_subscriber *s, *next;
    loop_timer_cancel(&server->subscriber.ping);
    DL_FOREACH_SAFE(server->subscriber.list, s, next)
        subscriber_node_gone(s->node);
}
