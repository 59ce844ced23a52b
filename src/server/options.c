/* See options.h. */
#include "server/options.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "server/server.h"

#include <limits.h>
#include <unistd.h>

enum { SERVER_DEFAULT_PARK_FROM = 5, SERVER_DEFAULT_GROUP_SIZE = 10000, SERVER_JANITOR_MAX = 1000 };

#define SERVER_DEFAULT_URI "redis://127.0.0.1:6379"

/* ---- options ---- */

typedef struct server_default {
    const char *name;
    size_t offset;
    int64_t value;
} server_default;

static const server_default server_defaults_ms[] = {
    {"shutdown_timeout_ms", offsetof(asynq_server_options, shutdown_timeout_ms), 8000},
    {"health_interval_ms", offsetof(asynq_server_options, health_interval_ms), 15000},
    {"task_check_interval_ms", offsetof(asynq_server_options, task_check_interval_ms), 1000},
    {"delayed_task_check_interval_ms", offsetof(asynq_server_options, delayed_task_check_interval_ms), 5000},
    {"janitor_interval_ms", offsetof(asynq_server_options, janitor_interval_ms), 8000},
    {"group_grace_period_ms", offsetof(asynq_server_options, group_grace_period_ms), 60000},
    {"group_max_delay_ms", offsetof(asynq_server_options, group_max_delay_ms), 0},
};

int server_fill_defaults(asynq_server_options *options, asynq_error *error)
{
    for (size_t i = 0; i < sizeof server_defaults_ms / sizeof *server_defaults_ms; i++) {
        const server_default *row = &server_defaults_ms[i];
        int64_t *field = (int64_t *)((char *)options + row->offset);
        if (*field < 0)
            return error_set(error, ASYNQ_E_INVALID, "%s is negative", row->name);
        if (*field > INT_MAX)
            return error_set(error, ASYNQ_E_INVALID, "%s is more than 24 days", row->name);
        if (*field == 0)
            *field = row->value;
    }
    if (options->group_grace_period_ms < MS_PER_SECOND)
        return error_set(error, ASYNQ_E_INVALID, "group_grace_period_ms cannot be less than a second");
    if (options->group_max_size < 0)
        return error_set(error, ASYNQ_E_INVALID, "group_max_size is negative");
    if (options->group_max_size == 0)
        options->group_max_size = SERVER_DEFAULT_GROUP_SIZE;
    if (options->concurrency < 1)
        options->concurrency = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (options->concurrency < 1)
        options->concurrency = 1;
    if (!options->park_from)
        options->park_from = SERVER_DEFAULT_PARK_FROM;
    if (options->janitor_batch_size < 1)
        options->janitor_batch_size = 100;
    if (options->janitor_batch_size > SERVER_JANITOR_MAX)
        options->janitor_batch_size = SERVER_JANITOR_MAX;
    if (!options->redis)
        options->redis = SERVER_DEFAULT_URI;
    return ASYNQ_OK;
}

/* ---- queues ---- */

void served_queue_free(served_queue *queue)
{
    if (!queue)
        return;
    queue_keys_clear(&queue->keys);
    mem_free(queue->name);
    mem_free(queue);
}

static served_queue *served_queue_new(asynq_server *server, const char *name, int priority)
{
    served_queue *queue = mem_calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    queue->server = server;
    queue->broker = &server->broker;
    queue->priority = priority;
    queue->name = mem_strdup(name);
    if (!queue->name || queue_keys_init(&queue->keys, &server->space, bytes_of(name))) {
        served_queue_free(queue);
        return NULL;
    }
    return queue;
}

void queue_complain(served_queue *queue, const char *what, const asynq_error *error)
{
    if (!redis_error_is_passing(error->code))
        log_repeated(&queue->server->log, &queue->complaint, ASYNQ_LOG_ERROR, "queue \"%s\": cannot %s: %s",
                     queue->name, what, error->text);
}

void queue_tell_dropped(served_queue *queue, bytes id)
{
    log_repeated(&queue->server->log, &queue->odd_tasks, ASYNQ_LOG_WARN,
                 "queue \"%s\": dropped id %.*s, which had no task behind it", queue->name, BYTES_ARGS(id));
}

int asynq_server_queue(asynq_server *server, const char *name, int priority, asynq_error *error)
{
    if (server->status != SERVER_NEW)
        return error_set(error, ASYNQ_E_STATE, "queues cannot be added to a server that was started");
    if (!name || text_is_blank(name, strlen(name)) || priority <= 0)
        return ASYNQ_OK; /* left out, as in Asynq */
    if (!text_is_utf8(name, strlen(name)))
        return error_set(error, ASYNQ_E_INVALID, "a queue name is not valid UTF-8");
    size_t at = server->queue_count;
    for (size_t i = 0; i < server->queue_count; i++)
        if (strcmp(server->queues[i]->name, name) == 0)
            return error_set(error, ASYNQ_E_INVALID, "queue \"%s\" is given twice", name);
    served_queue **queues = mem_realloc(server->queues, (at + 1) * sizeof(served_queue *));
    if (!queues)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    server->queues = queues;
    served_queue *queue = served_queue_new(server, name, priority);
    if (!queue)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    /* In the order of priority; those of equal priority in the order given. */
    for (; at && queues[at - 1]->priority < priority; at--)
        queues[at] = queues[at - 1];
    queues[at] = queue;
    server->queue_count++;
    return ASYNQ_OK;
}

int asynq_server_handle(asynq_server *server, const asynq_route *route, asynq_error *error)
{
    if (server->status != SERVER_NEW)
        return error_set(error, ASYNQ_E_STATE, "routes cannot be added to a server that was started");
    return asynq_mux_handle(server->mux, route, error);
}

int server_add_tables(asynq_server *server, asynq_error *error)
{
    int status = ASYNQ_OK;
    const asynq_queue *queue = server->options.queues;
    for (; !status && queue && (queue->name || queue->priority); queue++)
        status = asynq_server_queue(server, queue->name, queue->priority, error);
    if (!status && server->options.mux && server->options.routes)
        return error_set(error, ASYNQ_E_INVALID, "routes and mux are both given; give one of them");
    if (!status && !server->options.mux)
        server->own_mux = asynq_mux_new();
    server->mux = server->options.mux ? server->options.mux : server->own_mux;
    if (!status && !server->mux)
        status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    const asynq_route *route = server->options.routes;
    for (; !status && route && (route->pattern || route->handler); route++)
        status = asynq_mux_handle(server->mux, route, error);
    return status;
}
