/* See options.h. */
#include "server/options.h"

#include "base/clock.h"
#include "base/error.h"
#include "server/server.h"

#include <limits.h>
#include <unistd.h>

enum {
    SERVER_DEFAULT_PARK_THRESHOLD = 5,
    SERVER_DEFAULT_GROUP_SIZE = 10000,
    SERVER_JANITOR_MAX = 1000,
    SERVER_DEFAULT_REPORTS = 1000,
    SERVER_DEFAULT_LOSSES = 3,
    SERVER_MIN_SESSION_MS = 1000
};

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
    {"session_timeout_ms", offsetof(asynq_server_options, session_timeout_ms), 11000},
    {"session_renewal_ms", offsetof(asynq_server_options, session_renewal_ms), 0},
};

static int server_fill_losses(asynq_server_options *options, asynq_error *error)
{
    if (options->lost_tasks != ASYNQ_LOST_REQUEUE && options->lost_tasks != ASYNQ_LOST_RETRY)
        return error_set(error, ASYNQ_E_INVALID, "lost_tasks is no asynq_lost_policy");
    if (options->session_timeout_ms < SERVER_MIN_SESSION_MS)
        return error_set(error, ASYNQ_E_INVALID, "session_timeout_ms cannot be less than a second");
    if (!options->session_renewal_ms)
        options->session_renewal_ms = options->session_timeout_ms / 20;
    if (options->session_renewal_ms > options->session_timeout_ms / 2)
        return error_set(
            error, ASYNQ_E_INVALID,
            "session_renewal_ms cannot be more than half of session_timeout_ms, or one delay ends the session");
    if (!options->max_losses)
        options->max_losses = SERVER_DEFAULT_LOSSES;
    return ASYNQ_OK;
}

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
    if (options->max_waiting_reports < 0)
        return error_set(error, ASYNQ_E_INVALID, "max_waiting_reports is negative");
    if (!options->max_waiting_reports)
        options->max_waiting_reports = SERVER_DEFAULT_REPORTS;
    if (!options->park_threshold)
        options->park_threshold = SERVER_DEFAULT_PARK_THRESHOLD;
    if (options->janitor_batch_size < 1)
        options->janitor_batch_size = 100;
    if (options->janitor_batch_size > SERVER_JANITOR_MAX)
        options->janitor_batch_size = SERVER_JANITOR_MAX;
    if (!options->redis)
        options->redis = SERVER_DEFAULT_URI;
    return server_fill_losses(options, error);
}

/* ---- tables ---- */

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
