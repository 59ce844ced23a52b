/* Making, starting and stopping a server; the calls of <asynq/server.h> that concern it as a whole. */
#include "server/server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/option_struct.h"
#include "base/process.h"
#include "base/text.h"
#include "base/thread.h"
#include "server/aggregation.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include <uuid/uuid.h>

enum {
    SERVER_DEFAULT_PARK_FROM = 5,
    SERVER_DEFAULT_GROUP_SIZE = 10000,
    SERVER_JANITOR_MAX = 1000,
    STOP_WAIT_MS = 1000
};

#define SERVER_DEFAULT_URI "redis://127.0.0.1:6379"

/* ---- options ---- */

#define STATS_VERSION_1_SIZE (offsetof(asynq_server_stats, last_beat_ms) + sizeof(int64_t))

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

static int server_fill_defaults(asynq_server_options *options, asynq_error *error)
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

static void served_queue_free(served_queue *queue)
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
    queue->priority = priority;
    queue->complaint.period_ms = 3000;
    queue->name = mem_strdup(name);
    if (!queue->name || queue_keys_init(&queue->keys, bytes_of(name))) {
        served_queue_free(queue);
        return NULL;
    }
    return queue;
}

void queue_complain(served_queue *queue, const char *what, const asynq_error *error)
{
    unsigned skipped;
    if (!is_lost_connection(error) && log_limit_pass(&queue->complaint, &skipped))
        log_error(&queue->server->log, "queue \"%s\": cannot %s: %s", queue->name, what, error->text);
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

/* ---- making ---- */

/* Something to begin with, never 0. */
static uint64_t random_seed(const identity *process)
{
    uuid_t id;
    uint64_t seed = 0;
    if (uuid_parse(process->id, id) == 0)
        memcpy(&seed, id, sizeof seed);
    return seed | 1;
}

static int server_add_tables(asynq_server *server, asynq_error *error)
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

static void server_destroy(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        served_queue_free(server->queues[i]);
    mem_free(server->queues);
    parking_clear(server);
    asynq_mux_free(server->own_mux);
    identity_clear(&server->process);
    redis_uri_clear(&server->uri);
    log_clear(&server->log);
    pthread_cond_destroy(&server->stopped);
    pthread_mutex_destroy(&server->lock);
    mem_free(server);
}

asynq_server *asynq_server_new(const asynq_server_options *options, asynq_error *error)
{
    error_clear(error);
    asynq_server *server = mem_calloc(1, sizeof *server);
    if (!server) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    pthread_mutex_init(&server->lock, NULL);
    thread_cond_init(&server->stopped);
    int status = option_struct_import(&server->options, sizeof server->options, options, sizeof server->options,
                                      "asynq_server_options", error);
    log_init(&server->log, server->options.log, server->options.log_arg, server->options.log_level);
    if (!status)
        status = server_fill_defaults(&server->options, error);
    server->concurrency = server->options.concurrency;
    if (!status)
        status = redis_uri_parse(&server->uri, server->options.redis, error);
    if (!status)
        status = server_add_tables(server, error);
    if (!status)
        return server;
    server_destroy(server);
    return NULL;
}

/* ---- the loop thread ---- */

static void server_report_stopped(asynq_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->has_stopped = true;
    pthread_cond_broadcast(&server->stopped);
    pthread_mutex_unlock(&server->lock);
}

static void server_note_stats(asynq_server *server)
{
    server->stats.is_connected = redis_conn_is_ready(server->work);
    server->stats.is_fetching = server->fetching;
    server->stats.last_turn_ms = loop_now_ns(server->loop) / NS_PER_MS;
    server->stats.running = (int64_t)server->running_count;
    server->stats.commands = redis_conn_commands_sent(server->work);
}

void asynq_server_get_stats(const asynq_server *server, asynq_server_stats *stats)
{
    asynq_server_stats known = {.size = sizeof known,
                                .is_connected = server->stats.is_connected,
                                .is_fetching = server->stats.is_fetching,
                                .running = server->stats.running,
                                .commands = server->stats.commands,
                                .leases_lost = server->stats.leases_lost,
                                .last_turn_ms = server->stats.last_turn_ms,
                                .last_beat_ms = server->stats.last_beat_ms};
    size_t given = stats->size, size = option_struct_size(stats, STATS_VERSION_1_SIZE);
    memcpy(stats, &known, size < sizeof known ? size : sizeof known);
    stats->size = given;
}

static void server_decide(void *arg)
{
    asynq_server *server = arg;
    server_note_stats(server);
    for (size_t i = 0; i < server->queue_count; i++)
        settle_pump(server->queues[i]);
    limits_pump(server);
    job_pool_flush(server->pool);
    fetch_pump(server);
    parking_pump(server);
    if (!server->fetching && !server->leases_in_flight)
        server_report_stopped(server);
    if (server->phase)
        shutdown_advance(server);
}

static void number_taken(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)error;
    asynq_server *server = arg;
    if (status == ASYNQ_E_UNAVAILABLE || status == ASYNQ_E_OUTCOME_UNKNOWN)
        return; /* the next connection asks again */
    /* Where the key may not be written, chance is good enough: a clash matters only for a stale settle. */
    int64_t number = status ? server_random_below(server, LEASE_SERVER_MOST) : redis_value_integer(reply);
    server->number = (uint32_t)(number % LEASE_SERVER_MOST) + LEASE_SERVER_MOST; /* never 0; the tag cuts it */
}

/* What waits for Redis goes on. */
static void work_resumed(void *arg)
{
    asynq_server *server = arg;
    if (!server->number && broker_take_server_number(server->work, number_taken, server))
        redis_conn_reset(server->work, "out of memory");
    if (!server->tracking)
        subscriber_enable_tracking(server);
    for (size_t i = 0; i < server->queue_count; i++)
        settle_pump(server->queues[i]); /* first: a lease to be read back may hold the same task once more */
    fetch_reconnected(server);
    aggregation_resume_all(server);
    watch_all_lost(server);
    heartbeat_now(server);
    recoverer_look(server);
}

static void work_ready(void *arg)
{
    asynq_server *server = arg;
    server->tracking = false;
    work_resumed(server);
}

static void work_down(void *arg, const asynq_error *error)
{
    (void)error; /* logged by the connection */
    asynq_server *server = arg;
    server->tracking = false;
    server->record_is_unsure = true;
}

static void health_replied(void *arg, const redis_result *result)
{
    asynq_server *server = arg;
    asynq_error error = {0};
    int status = redis_result_check(result, &error);
    server->options.on_health(status, error.text, server->options.arg);
}

static void health_fired(void *arg)
{
    asynq_server *server = arg;
    if (redis_conn_commandf(server->work, health_replied, server, 1, "PING"))
        server->options.on_health(ASYNQ_E_UNAVAILABLE, asynq_status_text(ASYNQ_E_UNAVAILABLE), server->options.arg);
    loop_timer_set(&server->health, server->options.health_interval_ms);
}

static void orders_given(void *arg)
{
    asynq_server *server = arg;
    pthread_mutex_lock(&server->lock);
    bool stop = server->stop_asked, shutdown = server->shutdown_asked;
    int slots = server->concurrency;
    pthread_mutex_unlock(&server->lock);
    slots_set(server, slots);
    if (stop)
        server->fetching = false;
    if (shutdown)
        shutdown_begin(server);
}

static void settle_again_fired(void *arg)
{
    (void)arg; /* the turn's decision settles */
}

static void *server_run_loop(void *arg)
{
    asynq_server *server = arg;
    loop_run(server->loop);
    return NULL;
}

static void server_build_queues(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        watch_init(queue);
        forwarder_init(queue);
        groups_init(queue);
        loop_timer_init(server->loop, &queue->settle_again, settle_again_fired, queue);
    }
}

/* Everything that runs on the loop. On failure the caller takes it down again. */
static int server_build(asynq_server *server)
{
    server->orders.fd = server->returns.fd = server->aggregated.fd = -1;
    if (identity_make(&server->process))
        return ASYNQ_E_NO_MEMORY;
    server->random = random_seed(&server->process);
    server->loop = loop_new();
    if (!server->loop)
        return ASYNQ_E_NO_MEMORY;
    int status = loop_waker_init(server->loop, &server->orders, orders_given, server);
    if (!status)
        status = loop_waker_init(server->loop, &server->returns, attempt_take_returned, server);
    if (!status)
        status = loop_waker_init(server->loop, &server->aggregated, aggregation_take_returned, server);
    if (status)
        return status;
    server->port = job_port_new(&server->returns);
    server->slots = server->slots_wanted = server->slots_free = server->concurrency;
    server->pool = job_pool_new(server->slots, server->mux, server->own_mux);
    if (server->pool)
        server->own_mux = NULL; /* the pool's now */
    if (!server->port || !server->pool)
        return ASYNQ_E_NO_MEMORY;
    if (server->options.aggregate)
        server->aggregator = aggregator_new(&server->options, &server->aggregated);
    parking_init(server);
    if (server->options.aggregate && !server->aggregator)
        return ASYNQ_E_NO_MEMORY;
    server->fetching = true;
    server->started_at_ns = clock_now_ns();
    server_build_queues(server);
    loop_hook_add(server->loop, LOOP_DECIDE, &server->decide, server_decide, server);
    threads_start(server);
    heartbeat_start(server);
    recoverer_start(server);
    janitor_start(server);
    watch_start_polling(server);
    loop_timer_init(server->loop, &server->health, health_fired, server);
    if (server->options.on_health)
        loop_timer_set(&server->health, server->options.health_interval_ms);
    server->work = redis_conn_new(&(redis_conn_options){
        .loop = server->loop,
        .uri = &server->uri,
        .log = &server->log,
        .name = "asynq-server",
        .events = {.ready = work_ready, .resumed = work_resumed, .down = work_down, .arg = server},
    });
    return server->work ? subscriber_start(server) : ASYNQ_E_NO_MEMORY;
}

/* After the loop has ended, or when it could not be built. */
static void server_take_down(asynq_server *server)
{
    for (size_t i = 0; server->loop && i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        while (queue->books.jobs)
            attempt_forget(queue->books.jobs);
        groups_clear(queue);
        while (queue->renewing_count)
            job_unref(queue->renewing[--queue->renewing_count]);
    }
    limits_clear(server);
    if (server->port)
        job_port_close(server->port);
    job_port_unref(server->port);
    server->port = NULL;
    job_pool_shutdown(server->pool);
    server->pool = NULL;
    while (server->unfinished) {
        asynq_aggregation *aggregation = server->unfinished;
        server->unfinished = aggregation->next;
        aggregation_free(aggregation);
    }
    aggregator_close(server->aggregator);
    server->aggregator = NULL;
    loop_waker_clear(&server->orders);
    loop_waker_clear(&server->returns);
    loop_waker_clear(&server->aggregated);
    loop_free(server->loop);
    server->loop = NULL;
}

/* ---- the public life cycle ---- */

typedef struct start_refusal {
    int code;
    const char *text;
} start_refusal;

static const start_refusal start_refusals[] = {
    [SERVER_NEW] = {ASYNQ_OK, NULL},
    [SERVER_ACTIVE] = {ASYNQ_E_STATE, "asynq: the server is already running"},
    [SERVER_STOPPED] = {ASYNQ_E_STATE, "asynq: the server is in the stopped state. Waiting for shutdown."},
    [SERVER_CLOSED] = {ASYNQ_E_CLOSED, "asynq: Server closed"},
};

static int server_start_locked(asynq_server *server, asynq_error *error)
{
    const start_refusal *refusal = &start_refusals[server->status];
    if (refusal->code)
        return error_set(error, refusal->code, "%s", refusal->text);
    if (mux_is_empty(server->mux))
        return error_set(error, ASYNQ_E_INVALID, "asynq: server cannot run with nil handler: no route was given");
    int status = server->queue_count ? ASYNQ_OK : asynq_server_queue(server, "default", 1, error);
    if (status)
        return status;
    server->pid = getpid();
    status = server_build(server);
    if (status)
        error_set(error, status, "cannot start the server: %s", asynq_status_text(status));
    else
        status = thread_start(&server->thread, server_run_loop, server, error);
    if (!status)
        server->status = SERVER_ACTIVE;
    return status;
}

int asynq_server_start(asynq_server *server, asynq_error *error)
{
    error_clear(error);
    if (process_check(server->pid, "server", error))
        return ASYNQ_E_STATE;
    pthread_mutex_lock(&server->lock);
    bool was_new = server->status == SERVER_NEW;
    int status = server_start_locked(server, error);
    if (status && was_new && server->loop) {
        redis_conn_free(server->subscriber);
        redis_conn_free(server->work);
        heartbeat_stop(server);
        server_take_down(server);
        server->status = SERVER_CLOSED;
    }
    int concurrency = server->concurrency;
    pthread_mutex_unlock(&server->lock);
    if (!status)
        log_info(&server->log, "server started: %d at a time, pid %d, id %s", concurrency, (int)server->process.pid,
                 server->process.id);
    return status;
}

int asynq_server_set_concurrency(asynq_server *server, int concurrency, asynq_error *error)
{
    error_clear(error);
    if (concurrency < 0)
        return error_set(error, ASYNQ_E_INVALID, "concurrency is %d; it can be 0 or more", concurrency);
    if (process_check(server->pid, "server", error))
        return ASYNQ_E_STATE;
    pthread_mutex_lock(&server->lock);
    server->concurrency = concurrency;
    if (server->status == SERVER_ACTIVE)
        loop_waker_wake(&server->orders);
    pthread_mutex_unlock(&server->lock);
    return ASYNQ_OK;
}

void asynq_server_stop(asynq_server *server)
{
    struct timespec until = thread_wait_end(STOP_WAIT_MS);
    if (process_check(server->pid, "server", NULL))
        return;
    pthread_mutex_lock(&server->lock);
    if (server->status == SERVER_ACTIVE) {
        server->status = SERVER_STOPPED;
        server->stop_asked = true;
        loop_waker_wake(&server->orders);
        log_info(&server->log, "server stopped taking tasks");
    }
    bool is_own_thread = server->loop && pthread_equal(pthread_self(), server->thread);
    int problem = 0;
    while (server->status == SERVER_STOPPED && !server->has_stopped && !is_own_thread && !problem)
        problem = pthread_cond_timedwait(&server->stopped, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
}

void asynq_server_shutdown(asynq_server *server)
{
    if (process_check(server->pid, "server", NULL))
        return;
    pthread_mutex_lock(&server->lock);
    bool is_running = server->status == SERVER_ACTIVE || server->status == SERVER_STOPPED;
    if (is_running) {
        server->status = SERVER_CLOSED;
        server->shutdown_asked = true;
        loop_waker_wake(&server->orders);
    }
    pthread_mutex_unlock(&server->lock);
    if (!is_running)
        return;
    pthread_join(server->thread, NULL);
    server_take_down(server);
    server->pid = 0;
    log_info(&server->log, "server ended");
}

void asynq_server_free(asynq_server *server)
{
    if (!server || process_check(server->pid, "server", NULL))
        return; /* in a child: the memory is all that it has of the server, and goes with the process */
    asynq_server_shutdown(server);
    server_destroy(server);
}

const char *server_status_name(server_status status)
{
    static const char *const names[] = {"new", "active", "stopped", "closed"};
    return names[status];
}

const char *asynq_server_status(const asynq_server *server)
{
    if (process_check(server->pid, "server", NULL))
        return server_status_name(SERVER_CLOSED);
    asynq_server *unlocked = (asynq_server *)(uintptr_t)server;
    pthread_mutex_lock(&unlocked->lock);
    const char *name = server_status_name(server->status);
    pthread_mutex_unlock(&unlocked->lock);
    return name;
}
