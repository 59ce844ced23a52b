/* See queues.h. */
#include "server/queues.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "server/component.h"
#include "server/server.h"

#include <utlist.h>

enum {
    ORDERS_MAX = 256, /* in a turn; others are done in the next */
    LEAVE_MAX = 256   /* queues, likewise */
};

/* ---- lists ---- */

static served_queue **list_head(served_queue *queue, queue_list list)
{
    return list == QUEUES_READY ? &queue->band->ready : &queue->server->lists[list];
}

void queue_list_add(served_queue *queue, queue_list list)
{
    if (queue->links[list].prev)
        return;
    served_queue **head = list_head(queue, list);
    DL_APPEND2(*head, queue, links[list].prev, links[list].next);
}

void queue_list_remove(served_queue *queue, queue_list list)
{
    if (!queue->links[list].prev)
        return;
    served_queue **head = list_head(queue, list);
    DL_DELETE2(*head, queue, links[list].prev, links[list].next);
    queue->links[list] = (queue_link){0};
}

/* ---- memory ---- */

void queue_hold(served_queue *queue)
{
    queue->refs++;
}

void queue_let_go(served_queue *queue)
{
    if (--queue->refs)
        return;
    queue_keys_clear(&queue->keys);
    mem_free(queue->name);
    mem_free(queue);
}

static served_queue *queue_new(asynq_server *server, const char *name)
{
    served_queue *queue = mem_calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    queue->refs = 1;
    queue->server = server;
    queue->broker = &server->broker;
    queue->name = mem_strdup(name);
    if (queue->name && !queue_keys_init(&queue->keys, &server->space, bytes_of(name)))
        return queue;
    queue_let_go(queue);
    return NULL;
}

/* ---- what is said of them ---- */

void queue_complain(served_queue *queue, const char *what, const asynq_error *error)
{
    if (!redis_error_is_passing(error->code))
        log_event_repeated(&queue->server->log, &queue->complaint, LOG_QUEUE_CALL_FAILED, "queue \"%s\": cannot %s: %s",
                           queue->name, what, error->text);
}

void queue_tell_dropped(served_queue *queue, bytes id)
{
    log_event_repeated(&queue->server->log, &queue->odd_tasks, LOG_ID_REMOVED, "queue \"%s\": %.*s has no task",
                       queue->name, BYTES_ARGS(id));
}

/* ---- coming ---- */

served_queue *queues_find(const asynq_server *server, bytes name)
{
    served_queue *queue;
    HASH_FIND(hh, server->queues_by_name, name.data, name.length, queue);
    return queue;
}

static bool array_add(asynq_server *server, served_queue *queue)
{
    if (server->queue_count == server->queue_capacity) {
        size_t capacity = server->queue_capacity ? 2 * server->queue_capacity : 8;
        served_queue **queues = mem_realloc(server->queues, capacity * sizeof(served_queue *));
        if (!queues)
            return false;
        server->queues = queues;
        server->queue_capacity = capacity;
    }
    HASH_ADD_KEYPTR(hh, server->queues_by_name, queue->keys.queue.data, queue->keys.queue.length, queue);
    if (!HASH_HAS(queue))
        return false;
    queue->at = server->queue_count++;
    server->queues[queue->at] = queue;
    return true;
}

static void array_remove(served_queue *queue)
{
    asynq_server *server = queue->server;
    served_queue *last = server->queues[--server->queue_count];
    server->queues[queue->at] = last;
    last->at = queue->at;
    HASH_DEL(server->queues_by_name, queue);
}

static void queue_enter(served_queue *queue, queue_band *band)
{
    band_enter(band, queue);
    queue_list_set(queue, QUEUES_NAMED, !band->pattern);
}

/* NULL: out of memory. */
static served_queue *queues_queue_add(asynq_server *server, const char *name, queue_band *band)
{
    served_queue *queue = queue_new(server, name);
    if (!queue) {
        band_end_if_empty(server, band);
        return NULL;
    }
    queue_enter(queue, band);
    if (array_add(server, queue))
        return queue;
    queue_list_remove(queue, QUEUES_NAMED);
    band_leave(queue);
    queue_let_go(queue);
    return NULL;
}

static bool named_add(asynq_server *server, const char *name, int priority)
{
    queue_band *band = band_for(server, priority);
    return band && queues_queue_add(server, name, band);
}

int queues_add(asynq_server *server, const char *name, int priority, asynq_error *error)
{
    if (name_set_find(&server->queue_names, name))
        return error_set(error, ASYNQ_E_INVALID, "queue \"%s\" is given twice", name);
    name_entry *entry = name_set_add(&server->queue_names, name);
    if (entry && (pattern_is_one(name) ? !patterns_set(server, name, priority) : named_add(server, name, priority)))
        return ASYNQ_OK;
    if (entry)
        name_set_remove(&server->queue_names, entry);
    return error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* ---- going ---- */

static void queue_remove(served_queue *queue)
{
    band_leave(queue);
    for (int i = 0; i < QUEUE_LIST_COUNT; i++)
        queue_list_remove(queue, (queue_list)i);
    array_remove(queue);
    queue_let_go(queue);
}

static bool has_calls(served_queue *queue)
{
    for (int i = 0; i < DUTY_COUNT; i++)
        if (queue->duties[i].queue)
            return true;
    return fetch_is_under_way(queue) || fetch_is_unknown(queue) || queue->renewal.count ||
           queue->parking.role_in_flight || queue->parking.renewals || groups_are_busy(queue) ||
           forwarder_is_busy(queue) || watch_is_busy(queue) || recoverer_is_busy(queue);
}

/* A pattern may have thousands. */
static asynq_log_level queues_level_of(const served_queue *queue)
{
    return queue->links[QUEUES_NAMED].prev ? ASYNQ_LOG_INFO : ASYNQ_LOG_DEBUG;
}

static void queue_goes(served_queue *queue)
{
    log_event_at(&queue->server->log, queues_level_of(queue), LOG_QUEUE_REMOVED, "%s", queue->name);
    components_queue_stop(queue);
    queue_remove(queue);
}

void queues_turn(asynq_server *server)
{
    served_queue *queue, *next;
    int left = LEAVE_MAX;
    QUEUES_FOREACH_SAFE(server, QUEUES_LEAVING, queue, next)
    {
        if (queue->refs > 1 || has_calls(queue))
            continue;
        if (!left--) {
            engine_wake(&server->engine);
            return;
        }
        queue_goes(queue);
    }
}

void queues_clear(asynq_server *server)
{
    while (server->queue_count)
        queue_remove(server->queues[server->queue_count - 1]);
    patterns_clear(server);
    mem_free(server->queues);
    while (server->orders) {
        queue_order *order = server->orders;
        server->orders = order->next;
        mem_free(order);
    }
    name_set_clear(&server->queue_names);
}

/* ---- orders: on the loop ---- */

static void queue_begin(served_queue *queue)
{
    queue_list_remove(queue, QUEUES_LEAVING);
    watch_look_at(queue);
}

static served_queue *queue_comes(asynq_server *server, const char *name, queue_band *band)
{
    served_queue *queue = band ? queues_queue_add(server, name, band) : NULL;
    if (queue && !components_queue_start(queue)) {
        log_event_at(&server->log, queues_level_of(queue), LOG_QUEUE_ADDED, "%s, with priority %d", name,
                     band->priority);
        queue_begin(queue);
        return queue;
    }
    log_event(&server->log, LOG_QUEUE_NOT_SERVED, "%s: out of memory", name);
    if (queue) {
        components_queue_stop(queue);
        queue_remove(queue);
    }
    return NULL;
}

static void queue_changes(served_queue *queue, queue_band *band)
{
    if (band != queue->band) {
        log_event(&queue->server->log, LOG_QUEUE_PRIORITY, "%s: %d", queue->name, band->priority);
        band_leave(queue);
        queue_enter(queue, band);
    }
    if (queue_is_leaving(queue))
        queue_begin(queue);
}

void queues_drop(served_queue *queue)
{
    queue_list_add(queue, QUEUES_LEAVING);
    fetch_may(queue, false);
    forwarder_rest(queue);
    groups_leave(queue);
    parking_leave(queue);
}

served_queue *queues_take(asynq_server *server, const char *name, queue_band *band)
{
    served_queue *queue = queues_find(server, bytes_of(name));
    if (!queue || !band)
        return queue_comes(server, name, band);
    queue_changes(queue, band);
    return queue;
}

static void follow_pattern(asynq_server *server, const queue_order *order)
{
    if (!order->priority)
        patterns_remove(server, order->name);
    else if (patterns_set(server, order->name, order->priority))
        log_event(&server->log, LOG_QUEUE_NOT_SERVED, "%s: out of memory", order->name);
}

static void follow_name(asynq_server *server, const queue_order *order)
{
    served_queue *queue = order->priority ? NULL : queues_find(server, bytes_of(order->name));
    if (order->priority)
        (void)queues_take(server, order->name, band_for(server, order->priority));
    else if (queue)
        queues_drop(queue);
    patterns_look(server); /* one may have what is not served by its name any more */
}

static queue_order *orders_take(asynq_server *server)
{
    pthread_mutex_lock(&server->lock);
    queue_order *first = server->orders, *last = first;
    for (int i = 1; last && last->next && i < ORDERS_MAX; i++)
        last = last->next;
    server->orders = last ? last->next : NULL;
    if (last)
        last->next = NULL;
    if (server->orders)
        engine_wake(&server->engine);
    else
        server->last_order = NULL;
    pthread_mutex_unlock(&server->lock);
    return first;
}

void queues_follow(asynq_server *server)
{
    for (queue_order *order = orders_take(server), *next; order; order = next) {
        next = order->next;
        (pattern_is_one(order->name) ? follow_pattern : follow_name)(server, order);
        mem_free(order);
    }
}

/* ---- orders: by anybody ---- */

static int order_add(asynq_server *server, const char *name, int priority, asynq_error *error)
{
    size_t length = strlen(name);
    queue_order *order = mem_calloc(1, sizeof *order + length + 1);
    if (!order)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    order->priority = priority;
    memcpy(order->name, name, length);
    if (server->last_order)
        server->last_order->next = order;
    else
        server->orders = order;
    server->last_order = order;
    engine_wake(&server->engine);
    return ASYNQ_OK;
}

/* Of a server that runs. */
static int order_queue(asynq_server *server, const char *name, int priority, asynq_error *error)
{
    name_entry *known = name_set_find(&server->queue_names, name), *entry = name_set_add(&server->queue_names, name);
    if (!entry)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = order_add(server, name, priority, error);
    if (status && !known)
        name_set_remove(&server->queue_names, entry);
    return status;
}

static int refuse_unserved(const char *name, asynq_error *error)
{
    return error_set(error, ASYNQ_E_QUEUE_NOT_FOUND, "queue \"%.200s\" is not served", name);
}

static int order_removal(asynq_server *server, const char *name, asynq_error *error)
{
    name_entry *entry = name_set_find(&server->queue_names, name);
    if (!entry)
        return refuse_unserved(name, error);
    int status = order_add(server, name, 0, error);
    if (!status)
        name_set_remove(&server->queue_names, entry);
    return status;
}

static int refuse_state(const asynq_server *server, asynq_error *error)
{
    return error_set(error, server->status == SERVER_CLOSED ? ASYNQ_E_CLOSED : ASYNQ_E_STATE,
                     "queues do not change any more: the server is %s", server_status_name(server->status));
}

static int queue_locked(asynq_server *server, const char *name, int priority, asynq_error *error)
{
    if (server->status == SERVER_NEW)
        return queues_add(server, name, priority, error);
    return server->status == SERVER_ACTIVE ? order_queue(server, name, priority, error) : refuse_state(server, error);
}

int asynq_server_queue(asynq_server *server, const char *name, int priority, asynq_error *error)
{
    error_clear(error);
    if (engine_check_process(&server->engine, "server", error))
        return ASYNQ_E_STATE;
    if (!name || text_is_blank(name, strlen(name)) || priority <= 0)
        return ASYNQ_OK; /* left out, as in Asynq */
    if (!text_is_utf8(name, strlen(name)))
        return error_set(error, ASYNQ_E_INVALID, "a queue name is not valid UTF-8");
    int status = pattern_is_one(name) ? pattern_check(name, error) : ASYNQ_OK;
    if (status)
        return status;
    pthread_mutex_lock(&server->lock);
    status = queue_locked(server, name, priority, error);
    pthread_mutex_unlock(&server->lock);
    return status;
}

static int remove_locked(asynq_server *server, const char *name, asynq_error *error)
{
    if (server->status == SERVER_ACTIVE)
        return order_removal(server, name, error);
    if (server->status != SERVER_NEW)
        return refuse_state(server, error);
    name_entry *entry = name_set_find(&server->queue_names, name);
    if (!entry)
        return refuse_unserved(name, error);
    name_set_remove(&server->queue_names, entry);
    if (pattern_is_one(name))
        patterns_remove(server, name);
    else
        queue_remove(queues_find(server, bytes_of(name)));
    return ASYNQ_OK;
}

int asynq_server_remove_queue(asynq_server *server, const char *name, asynq_error *error)
{
    error_clear(error);
    if (engine_check_process(&server->engine, "server", error))
        return ASYNQ_E_STATE;
    if (!name)
        return error_set(error, ASYNQ_E_INVALID, "the name of the queue is missing");
    pthread_mutex_lock(&server->lock);
    int status = remove_locked(server, name, error);
    pthread_mutex_unlock(&server->lock);
    return status;
}
