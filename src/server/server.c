/* Making, starting and stopping a server; the calls of <asynq/server.h> that concern it as a whole. */
#include "server/server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "server/component.h"
#include "server/options.h"

#include <uuid/uuid.h>

enum { STOP_WAIT_MS = 1000 };

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

static void server_destroy(asynq_server *server)
{
    queues_clear(server);
    asynq_mux_free(server->own_mux);
    identity_clear(&server->process);
    redis_uri_clear(&server->uri);
    key_space_clear(&server->space);
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
    if (options)
        server->options = *options;
    log_init(&server->log, server->options.log, server->options.log_arg, server->options.log_level);
    int status = server_fill_defaults(&server->options, error);
    server->concurrency = server->options.concurrency;
    if (!status)
        status = redis_uri_parse(&server->uri, server->options.redis, error);
    if (!status)
        status = key_space_init(&server->space, server->options.prefix, error);
    server->broker.space = &server->space;
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
    server->stats.is_connected = broker_is_ready(&server->broker);
    server->stats.is_fetching = server->fetching;
    server->stats.last_loop_ms = loop_now_ns(server->loop) / NS_PER_MS;
    server->stats.running = (int64_t)server->running_count;
    server->stats.commands = server->broker.nodes ? redis_nodes_commands_sent(server->broker.nodes) : 0;
}

void asynq_server_get_stats(const asynq_server *server, asynq_server_stats *stats)
{
    *stats = (asynq_server_stats){.is_connected = server->stats.is_connected,
                                  .is_fetching = server->stats.is_fetching,
                                  .running = server->stats.running,
                                  .commands = server->stats.commands,
                                  .leases_lost = server->stats.leases_lost,
                                  .tasks_recovered = server->stats.tasks_recovered,
                                  .last_loop_ms = server->stats.last_loop_ms,
                                  .last_heartbeat_ms = server->stats.last_heartbeat_ms,
                                  .reports_dropped = server->stats.reports_dropped};
}

static void server_decide(void *arg)
{
    asynq_server *server = arg;
    server_note_stats(server);
    if (!server->fetching && !fetch_has_leases_in_flight(server))
        server_report_stopped(server);
    components_turn(server);
}

/* What waits for Redis goes on. */
static void work_resumed(void *arg)
{
    components_ready(arg);
}

/* For asynq_server_ping(); `error` is NULL when a connection is ready. */
static void server_note_connection(asynq_server *server, const asynq_error *error)
{
    pthread_mutex_lock(&server->lock);
    server->connection_error = error ? *error : (asynq_error){0};
    pthread_mutex_unlock(&server->lock);
}

static void work_ready(void *arg, redis_node *node)
{
    asynq_server *server = arg;
    server_note_connection(server, NULL);
    subscriber_node_ready(server, node);
    work_resumed(server);
}

static void work_down(void *arg, redis_node *node, const asynq_error *error)
{
    server_note_connection(arg, error);
    subscriber_node_lost(node);
    components_lost(arg);
}

static void work_gone(void *arg, redis_node *node)
{
    (void)arg;
    subscriber_node_gone(node);
}

static void orders_given(void *arg)
{
    asynq_server *server = arg;
    pthread_mutex_lock(&server->lock);
    bool stop = server->stop_asked, shutdown = server->shutdown_asked, is_hurried = server->is_hurried;
    int slots = server->concurrency;
    pthread_mutex_unlock(&server->lock);
    slots_set(server, slots);
    queues_follow(server);
    if (stop)
        server->fetching = false;
    if (shutdown)
        shutdown_begin(server);
    if (shutdown && is_hurried)
        shutdown_hurry(server);
}

/* Everything that runs on the loop. On failure the caller takes it down again. */
static int server_build(asynq_server *server, asynq_error *error)
{
    const engine_options options = {
        .uri = &server->uri,
        .log = &server->log,
        .name = "asynq-server",
        .key_prefix = server->space.prefix.data,
        .events = {.ready = work_ready, .resumed = work_resumed, .down = work_down, .gone = work_gone, .arg = server},
        .ordered = orders_given,
        .arg = server,
    };
    int status = engine_open(&server->engine, &options, error);
    if (status)
        return status;
    server->loop = server->engine.loop;
    server->broker.nodes = server->engine.nodes;
    if (identity_make(&server->process))
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    server->random = random_seed(&server->process);
    server->fetching = true;
    loop_hook_add(server->loop, LOOP_DECIDE, &server->decide, server_decide, server);
    status = components_start(server);
    return status ? error_set(error, status, "cannot start the server: %s", asynq_status_text(status)) : ASYNQ_OK;
}

/* When the loop has ended, or when it could not be built. */
static void server_take_down(asynq_server *server)
{
    server->broker.nodes = NULL; /* so that nothing is sent any more */
    components_stop(server);
    engine_run_left(&server->engine);
    server->loop = NULL;
    engine_close(&server->engine);
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
    int status = server->queue_count || server->patterns.list ? ASYNQ_OK : queues_add(server, "default", 1, error);
    if (status)
        return status;
    status = server_build(server, error);
    if (!status)
        status = engine_start(&server->engine, error);
    if (!status)
        server->status = SERVER_ACTIVE;
    return status;
}

int asynq_server_start(asynq_server *server, asynq_error *error)
{
    error_clear(error);
    if (engine_check_process(&server->engine, "server", error))
        return ASYNQ_E_STATE;
    pthread_mutex_lock(&server->lock);
    bool was_new = server->status == SERVER_NEW;
    int status = server_start_locked(server, error);
    if (status && was_new && server->loop) {
        server_take_down(server);
        server->status = SERVER_CLOSED;
    }
    int concurrency = server->concurrency;
    pthread_mutex_unlock(&server->lock);
    if (!status)
        log_event(&server->log, LOG_SERVER_STARTED, "concurrency %d, pid %d, id %s", concurrency,
                  (int)server->process.pid, server->process.id);
    return status;
}

int asynq_server_set_concurrency(asynq_server *server, int concurrency, asynq_error *error)
{
    error_clear(error);
    if (concurrency < 0)
        return error_set(error, ASYNQ_E_INVALID, "concurrency is %d; it can be 0 or more", concurrency);
    if (engine_check_process(&server->engine, "server", error))
        return ASYNQ_E_STATE;
    pthread_mutex_lock(&server->lock);
    server->concurrency = concurrency;
    if (server->status == SERVER_ACTIVE)
        engine_wake(&server->engine);
    pthread_mutex_unlock(&server->lock);
    return ASYNQ_OK;
}

void server_stop_soon(asynq_server *server)
{
    if (engine_check_process(&server->engine, "server", NULL))
        return;
    pthread_mutex_lock(&server->lock);
    if (server->status == SERVER_ACTIVE) {
        server->status = SERVER_STOPPED;
        server->stop_asked = true;
        engine_wake(&server->engine);
        log_event(&server->log, LOG_SERVER_QUIET, "no new tasks are taken");
    }
    pthread_mutex_unlock(&server->lock);
}

void asynq_server_stop(asynq_server *server)
{
    struct timespec until = thread_wait_end(STOP_WAIT_MS);
    if (engine_check_process(&server->engine, "server", NULL))
        return;
    server_stop_soon(server);
    pthread_mutex_lock(&server->lock);
    bool is_own_thread = engine_is_own_thread(&server->engine);
    int problem = 0;
    while (server->status == SERVER_STOPPED && !server->has_stopped && !is_own_thread && !problem)
        problem = pthread_cond_timedwait(&server->stopped, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
}

void asynq_server_shutdown(asynq_server *server)
{
    if (engine_check_process(&server->engine, "server", NULL))
        return;
    pthread_mutex_lock(&server->lock);
    bool is_running = server->status == SERVER_ACTIVE || server->status == SERVER_STOPPED;
    if (is_running) {
        server->status = SERVER_CLOSED;
        server->shutdown_asked = true;
        engine_wake(&server->engine);
    }
    pthread_mutex_unlock(&server->lock);
    if (!is_running)
        return;
    engine_join(&server->engine);
    pthread_mutex_lock(&server->lock);
    server->has_ended = true; /* nobody wakes it any more */
    pthread_mutex_unlock(&server->lock);
    server_take_down(server);
    log_event(&server->log, LOG_SERVER_STOPPED, "id %s", server->process.id);
}

void asynq_server_shutdown_now(asynq_server *server)
{
    if (engine_check_process(&server->engine, "server", NULL))
        return;
    pthread_mutex_lock(&server->lock);
    bool is_running = server->status != SERVER_NEW && !server->has_ended;
    server->is_hurried = true;
    if (is_running)
        engine_wake(&server->engine);
    pthread_mutex_unlock(&server->lock);
}

void asynq_server_free(asynq_server *server)
{
    if (!server || engine_check_process(&server->engine, "server", NULL))
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
    if (engine_check_process(&server->engine, "server", NULL))
        return server_status_name(SERVER_CLOSED);
    asynq_server *unlocked = (asynq_server *)(uintptr_t)server;
    pthread_mutex_lock(&unlocked->lock);
    const char *name = server_status_name(server->status);
    pthread_mutex_unlock(&unlocked->lock);
    return name;
}
