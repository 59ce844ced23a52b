/*
 * When to look into a queue for tasks: at once when Redis says that it changed, or by polling where Redis does not
 * tell. An empty queue is watched by its key `pending`, a paused one by its key `paused`.
 */
#include "server/server.h"

#include "server/groups.h"

static const char *const paused_read[] = {"EXISTS", "KEY", NULL};

static const char *const pending_read[] = {"LLEN", "KEY", NULL};

enum {
    SAFETY_POLL_MS = 15000,
    SAFETY_MAX = 10,   /* queues in a poll */
    FRUITLESS_MAX = 8, /* wake-ups without need to rest */
    FIRST_REST_MS = 10,
    LONGEST_REST_MS = 100,  /* so long a task may wait if it comes just then */
    EXHAUSTED_REST_MS = 20, /* the same beside tasks that have no room */
    SAME_NUMBER_MS = 1000,  /* the same where others take and add as many */
    LOOK_MAX = 64,          /* queues in a turn, when all are to be looked at */
    LOOK_PAUSE_MS = 5       /* about what Redis takes to answer for them */
};

static void watch_look_again(void *arg)
{
    ahead_wake(arg);
    fetch_rested(arg);
}

/* What is there may be worth a look, whatever we know of it. */
static void wake_queue(served_queue *queue)
{
    ahead_wake(queue);
    fetch_may(queue, true);
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
    parking_heard(queue);
    wake_queue(queue);
}

static void pending_value(void *arg, const redis_value *value)
{
    served_queue *queue = arg;
    int64_t waiting = redis_value_integer(value);
    if (queue->ahead.is_exhausted ? waiting != queue->ahead.waiting : waiting > 0)
        watch_look_again(arg);
    else if (queue->ahead.is_exhausted && !loop_timer_is_set(&queue->watch.rest))
        loop_timer_set(&queue->watch.rest, SAME_NUMBER_MS); /* they may be others: some were taken, as many came */
}

static void paused_value(void *arg, const redis_value *value)
{
    if (redis_value_integer(value) == 0)
        watch_look_again(arg);
}

int watch_queue_start(served_queue *queue)
{
    queue->fetch.may_have_tasks = true;
    fetch_reconsider(queue);
    loop_timer_init(queue->server->loop, &queue->watch.rest, watch_look_again, queue);
    queue->watch.pending = (key_watch){
        .key = queue->keys.key[QUEUE_KEY_PENDING],
        .read = pending_read,
        .value = pending_value,
        .changed = queue_changed,
        .arg = queue,
    };
    queue->watch.paused = (key_watch){
        .key = queue->keys.key[QUEUE_KEY_PAUSED],
        .read = paused_read,
        .value = paused_value,
        .changed = queue_changed,
        .arg = queue,
    };
    return ASYNQ_OK;
}

/* Those of the queue, by key; NULL where there is none. */
static void queue_watches(served_queue *queue, key_watch *watches[QUEUE_KEY_COUNT])
{
    memset(watches, 0, QUEUE_KEY_COUNT * sizeof *watches);
    watches[QUEUE_KEY_PENDING] = &queue->watch.pending;
    watches[QUEUE_KEY_PAUSED] = &queue->watch.paused;
    watches[QUEUE_KEY_SCHEDULED] = &queue->due[0].watch;
    watches[QUEUE_KEY_RETRY] = &queue->due[1].watch;
    watches[QUEUE_KEY_ACTIVE] = watches[QUEUE_KEY_AGGREGATION_SETS] = &queue->recovery.watch;
    watches[QUEUE_KEY_COMPLETED] = &queue->janitor.watch;
    watches[QUEUE_KEY_GROUPS] = queue->groups ? &queue->groups->watch : NULL;
}

bool watch_is_busy(served_queue *queue)
{
    key_watch *watches[QUEUE_KEY_COUNT];
    queue_watches(queue, watches);
    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
        if (watches[i] && watches[i]->replies_due)
            return true;
    return false;
}

bool watch_arm(served_queue *queue, key_watch *watch)
{
    const redis_node *node = redis_nodes_at(queue->broker->nodes, queue->keys.slot);
    return node && key_watch_arm(watch, node->conn);
}

/* Without notification the queue waits for the poll timer. */
static void watch_by(served_queue *queue, key_watch *watch)
{
    fetch_may(queue, false);
    if (subscriber_is_tracking(queue) && !queue_is_leaving(queue))
        watch_arm(queue, watch);
}

void watch_pending(served_queue *queue)
{
    watch_by(queue, &queue->watch.pending);
}

int64_t watch_rest_ms(unsigned fruitless_wakes)
{
    if (fruitless_wakes <= FRUITLESS_MAX)
        return 0;
    unsigned doublings = fruitless_wakes - FRUITLESS_MAX - 1;
    int64_t ms = (int64_t)FIRST_REST_MS << (doublings < 10 ? doublings : 10);
    return ms < LONGEST_REST_MS ? ms : LONGEST_REST_MS;
}

/* Rests before watching again, if too many wake-ups were in vain. False: there is no need. */
static bool watch_rests(served_queue *queue, bool found_any, int64_t max_ms)
{
    if (found_any)
        queue->watch.fruitless_wakes = 0;
    int64_t rest_ms = watch_rest_ms(queue->watch.fruitless_wakes);
    if (!subscriber_is_tracking(queue) || !rest_ms)
        return false;
    fetch_may(queue, false);
    queue->watch.fruitless_wakes++;
    loop_timer_set(&queue->watch.rest, rest_ms < max_ms ? rest_ms : max_ms);
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
    if (found_any)
        parking_heard(queue);
    if (watch_rests(queue, found_any, LONGEST_REST_MS) || queue_is_leaving(queue))
        return;
    if (subscriber_is_tracking(queue) && parking_wants(queue))
        parking_ask(queue);
    else
        watch_pending(queue);
}

void watch_queue_paused(served_queue *queue)
{
    watch_by(queue, &queue->watch.paused);
}

/* Most of very many queues are empty: to look costs more there than to be told that. */
static bool asks_first(const served_queue *queue)
{
    const asynq_server *server = queue->server;
    return server->queue_count > LOOK_MAX && !parking_is_for_all(server) && subscriber_is_tracking(queue);
}

/* Whatever is known of it may not be so any more. */
static void look_anew(served_queue *queue)
{
    key_watch *watches[QUEUE_KEY_COUNT];
    queue_watches(queue, watches);
    queue->watch.fruitless_wakes = 0;
    queue->parking.off_duty = false;
    parking_forget(queue);
    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
        if (watches[i])
            key_watch_lost(watches[i]);
    if (queue_is_leaving(queue))
        return;
    groups_look(queue);
    recoverer_look_at(queue);
    janitor_look_at(queue);
    if (!asks_first(queue)) {
        forwarder_look_at(queue);
        return;
    }
    watch_pending(queue);
    forwarder_ask_at(queue);
}

/* Some of them in each turn: the others' commands and answers have their turn in between. */
static void look_at_some(void *arg)
{
    asynq_server *server = arg;
    served_queue *queue, *next;
    int left = LOOK_MAX;
    QUEUES_FOREACH_SAFE(server, QUEUES_TO_LOOK_AT, queue, next)
    {
        if (!left--)
            break;
        queue_list_remove(queue, QUEUES_TO_LOOK_AT);
        look_anew(queue);
    }
    if (server->lists[QUEUES_TO_LOOK_AT])
        loop_timer_set(&server->polling.look, LOOK_PAUSE_MS);
}

void watch_look_at(served_queue *queue)
{
    queue_list_add(queue, QUEUES_TO_LOOK_AT);
    if (!loop_timer_is_set(&queue->server->polling.look))
        loop_timer_set(&queue->server->polling.look, 0);
}

void watch_all_lost(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        queue_list_add(server->queues[i], QUEUES_TO_LOOK_AT);
    look_at_some(server);
    patterns_lost(server);
}

void watch_message(asynq_server *server, bytes key)
{
    if (bytes_equal(key, server->patterns.watch.key)) {
        key_watch_message(&server->patterns.watch);
        return;
    }
    queue_key_name name;
    key_watch *watches[QUEUE_KEY_COUNT];
    for (size_t i = 0; i < queue_key_choices(key); i++) {
        served_queue *queue = queue_key_parse(&server->space, key, i, &name) ? queues_find(server, name.queue) : NULL;
        if (!queue)
            continue;
        queue_watches(queue, watches);
        if (watches[name.key])
            key_watch_message(watches[name.key]);
    }
}

static void wake_untold(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count && !subscriber_is_tracking_all(server); i++)
        if (!subscriber_is_tracking(server->queues[i]))
            wake_queue(server->queues[i]);
}

static int64_t jittered_ms(asynq_server *server, int64_t ms)
{
    return ms / 2 + server_random_below(server, ms);
}

static void poll_fired(void *arg)
{
    asynq_server *server = arg;
    wake_untold(server);
    loop_timer_set(&server->polling.poll, jittered_ms(server, server->options.task_check_interval_ms));
}

static void look_for_safety(served_queue *queue)
{
    if (parking_skips_upkeep(queue))
        return;
    wake_queue(queue);
    forwarder_look_at(queue);
    if (!queue_is_leaving(queue))
        queue_list_add(queue, QUEUES_IN_UPKEEP);
}

/* No message is known to get lost; so it is the same however many queues there are, and takes the longer. */
static void safety_poll_fired(void *arg)
{
    asynq_server *server = arg;
    size_t count = server->queue_count < SAFETY_MAX ? server->queue_count : SAFETY_MAX;
    for (size_t i = 0; i < count; i++)
        look_for_safety(server->queues[server->polling.next++ % server->queue_count]);
    loop_timer_set(&server->polling.safety_poll, jittered_ms(server, SAFETY_POLL_MS));
}

int watch_start(asynq_server *server)
{
    loop_timer_init(server->loop, &server->polling.poll, poll_fired, server);
    loop_timer_init(server->loop, &server->polling.safety_poll, safety_poll_fired, server);
    loop_timer_init(server->loop, &server->polling.look, look_at_some, server);
    loop_timer_set(&server->polling.poll, 0);
    loop_timer_set(&server->polling.safety_poll, jittered_ms(server, SAFETY_POLL_MS));
    return ASYNQ_OK;
}

void watch_stop(asynq_server *server)
{
    loop_timer_cancel(&server->polling.poll);
    loop_timer_cancel(&server->polling.safety_poll);
    loop_timer_cancel(&server->polling.look);
}

void watch_queue_stop(served_queue *queue)
{
    loop_timer_cancel(&queue->watch.rest);
}
