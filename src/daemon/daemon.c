/* See daemon.h. */
#include "daemon/daemon.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "daemon/attempts.h"
#include "daemon/endpoints.h"
#include "daemon/logger.h"
#include "daemon/meters.h"
#include "daemon/private_redis.h"
#include "daemon/service.h"
#include "handler/child.h"
#include "handler/http_client.h"
#include "handler/plugin.h"
#include "handler/relay.h"
#include "pg/database.h"

#include <asynq/scheduler.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { STUCK_AFTER_MS = 30000, HISTORY_WITHIN_MS = 10000 };

/* A plug-in is loaded once, for all routes that name it. */
typedef struct loaded_plugin {
    plugin *plugin;
    bool is_first; /* of its routes */
} loaded_plugin;

struct asynqd {
    config *config;
    loop *loop;
    logger logger;
    log_source own_source, server_source, scheduler_source, jobs_source;
    log_sink log;

    int signal_fd;
    loop_watch signals;

    private_redis *redis;
    char directory[64]; /* for files of calls */
    handler_host host;
    relay *relay;
    relay_route *relay_routes;
    attempts attempts;
    loaded_plugin *plugins; /* by route; those that are not isolated */
    asynq_mux *mux;
    asynq_server *server;
    asynq_scheduler *scheduler;      /* of the schedule file */
    asynq_scheduler *jobs_scheduler; /* of PostgreSQL's jobs */
    database *database;
    metrics *meters;
    endpoints *endpoints;
    service service;

    pthread_t stopper;
    loop_waker stopped;
    bool is_stopping, has_stopped_work, is_stopping_workers;
};

/* ---- handlers ---- */

static void stop_redis(void *daemon);

static void calls_idle(void *arg)
{
    asynqd *d = arg;
    if (!d->has_stopped_work || d->is_stopping_workers)
        return;
    d->is_stopping_workers = true;
    worker_pools_stop(d->host.workers, stop_redis, d);
}

static int start_handlers(asynqd *d, asynq_error *error)
{
    const char *base = getenv("TMPDIR");
    snprintf(d->directory, sizeof d->directory, "%s/asynqd-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    if (!mkdtemp(d->directory) || chmod(d->directory, 0711)) {
        int status = error_set(error, ASYNQ_E_SYSTEM, "%s: %s", d->directory, strerror(errno));
        d->directory[0] = '\0';
        return status;
    }
    d->host = (handler_host){.loop = d->loop, .log = &d->log, .directory = d->directory};
    d->host.http = http_client_new(d->loop);
    if (!d->host.http)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    d->host.workers = worker_pools_new(&d->host, &d->config->workers);
    if (!d->host.workers)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    d->relay = relay_new(&d->host, calls_idle, d);
    return d->relay ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

static void end_handlers(asynqd *d)
{
    relay_free(d->relay);
    worker_pools_free(d->host.workers);
    http_client_free(d->host.http);
    if (d->directory[0] && rmdir(d->directory))
        log_warn(&d->log, "%s: %s", d->directory, strerror(errno));
}

/* ---- server ---- */

static bool is_same_plugin(const plugin_route *a, const plugin_route *b)
{
    return strcmp(a->path, b->path) == 0 && strcmp(a->config ? a->config : "", b->config ? b->config : "") == 0;
}

static int load_plugin(asynqd *d, size_t index, asynq_error *error)
{
    const route *items = d->config->routes.items;
    const plugin_route *own = items[index].options;
    for (size_t i = 0; i < index; i++)
        if (d->plugins[i].plugin && is_same_plugin(items[i].options, own)) {
            d->plugins[index].plugin = d->plugins[i].plugin;
            return ASYNQ_OK;
        }
    d->plugins[index] = (loaded_plugin){plugin_load(own->path, own->config, error), true};
    return d->plugins[index].plugin ? ASYNQ_OK : error->code;
}

/* So that the policies of the configuration count, and not those of the plug-in. */
static int run_plugin(asynq_job *job, void *mux)
{
    return asynq_mux_dispatch(job, mux);
}

static int make_route(asynqd *d, size_t index, asynq_route *row, asynq_error *error)
{
    const route *own = &d->config->routes.items[index];
    if (own->kind != &handler_plugin || ((const plugin_route *)own->options)->is_isolated) {
        d->relay_routes[index] = (relay_route){d->relay, own};
        *row = route_for_mux(own, relay_handle, &d->relay_routes[index], ASYNQ_HANDLER_ASYNC);
        return ASYNQ_OK;
    }
    int status = load_plugin(d, index, error);
    if (!status)
        *row = route_for_mux(own, own->has_retry || own->has_limit ? run_plugin : asynq_mux_dispatch,
                             plugin_mux(d->plugins[index].plugin), ASYNQ_HANDLER_THREAD);
    return status;
}

static void stop_plugins(asynqd *d)
{
    for (size_t i = 0; d->plugins && i < d->config->routes.count; i++)
        if (d->plugins[i].is_first)
            plugin_stop(d->plugins[i].plugin);
    mem_free(d->plugins);
}

static int make_mux(asynqd *d, asynq_error *error)
{
    const route_list *routes = &d->config->routes;
    d->mux = asynq_mux_new();
    d->relay_routes = mem_calloc(routes->count + 1, sizeof *d->relay_routes);
    d->plugins = mem_calloc(routes->count + 1, sizeof *d->plugins);
    if (!d->mux || !d->relay_routes || !d->plugins)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; i < routes->count; i++) {
        asynq_route row = {0};
        int status = make_route(d, i, &row, error);
        if (!status)
            status = asynq_mux_handle(d->mux, &row, error);
        if (status)
            return status;
        for (const asynq_queue *queue = d->config->queue_list; queue->name; queue++)
            attempts_begin_counters(d->meters, queue->name, row.pattern);
    }
    return ASYNQ_OK;
}

static int start_server(asynqd *d, asynq_error *error)
{
    const config *c = d->config;
    if (!c->routes.count) {
        log_warn(&d->log, "there are no routes, so no tasks are run; see asynqd.conf(5)");
        return ASYNQ_OK;
    }
    int status = make_mux(d, error);
    if (status)
        return status;
    d->attempts = (attempts){.log = &d->logger,
                             .meters = d->meters,
                             .mux = d->mux,
                             .is_logged = c->log.attempts,
                             .history = d->database ? database_history(d->database) : NULL};
    d->server = asynq_server_new(
        &(asynq_server_options){ASYNQ_SERVER_OPTIONS_INIT, .redis = c->redis_uri, .concurrency = (int)c->concurrency,
                                .queues = c->queue_list, .strict_priority = c->is_strict, .mux = d->mux,
                                .shutdown_timeout_ms = c->shutdown_timeout_ms, .on_start = attempt_started,
                                .on_end = attempt_ended, .arg = &d->attempts, .log = logger_line,
                                .log_arg = &d->server_source, .log_level = config_log_level(c)},
        error);
    return d->server ? asynq_server_start(d->server, error) : error->code;
}

/* ---- PostgreSQL ---- */

static int start_database(asynqd *d, asynq_error *error)
{
    const config *c = d->config;
    if (!c->postgres.uri)
        return ASYNQ_OK;
    d->database = database_start(&(database_options){.log = &d->log,
                                                     .conninfo = c->postgres.uri,
                                                     .password = c->postgres.password,
                                                     .spool = c->spool,
                                                     .spool_most = c->postgres.spool_most,
                                                     .retention_ms = c->postgres.retention_ms,
                                                     .has_history = c->postgres.history,
                                                     .has_jobs = c->postgres.jobs},
                                 error);
    return d->database ? ASYNQ_OK : error->code;
}

/* ---- schedulers ---- */

static asynq_scheduler_options scheduler_options_for(const config *c, log_source *source)
{
    return (asynq_scheduler_options){
        ASYNQ_SCHEDULER_OPTIONS_INIT, .redis = c->redis_uri, .zone = c->schedule.zone,
        .log = logger_line,           .log_arg = source,     .log_level = config_log_level(c)};
}

static int start_scheduler(asynqd *d, asynq_error *error)
{
    asynq_scheduler_options options = scheduler_options_for(d->config, &d->scheduler_source);
    options.file = d->config->schedule.file;
    if (!options.file)
        return ASYNQ_OK;
    d->scheduler = asynq_scheduler_new(&options, error);
    return d->scheduler ? asynq_scheduler_start(d->scheduler, error) : error->code;
}

static int start_jobs(asynqd *d, asynq_error *error)
{
    asynq_scheduler_options options = scheduler_options_for(d->config, &d->jobs_source);
    jobs *source = d->database ? database_jobs(d->database) : NULL;
    if (!source)
        return ASYNQ_OK;
    jobs_set_options(source, &options);
    d->jobs_scheduler = asynq_scheduler_new(&options, error);
    int status = d->jobs_scheduler ? asynq_scheduler_start(d->jobs_scheduler, error) : error->code;
    if (!status)
        jobs_set_scheduler(source, d->jobs_scheduler);
    return status;
}

static void stop_schedulers(asynqd *d)
{
    if (d->database && database_jobs(d->database))
        jobs_set_scheduler(database_jobs(d->database), NULL);
    if (d->jobs_scheduler)
        asynq_scheduler_shutdown(d->jobs_scheduler);
    if (d->scheduler)
        asynq_scheduler_shutdown(d->scheduler);
}

/* ---- end-points ---- */

static int start_endpoints(asynqd *d, asynq_error *error)
{
    d->endpoints = endpoints_start(&(endpoints_options){.loop = d->loop,
                                                        .log = &d->log,
                                                        .config = d->config,
                                                        .meters = d->meters,
                                                        .host = &d->host,
                                                        .server = d->server,
                                                        .database = d->database},
                                   error);
    return error->code;
}

/* ---- private Redis ---- */

static void redis_stopped(void *arg)
{
    asynqd *d = arg;
    loop_stop(d->loop);
}

static int start_redis(asynqd *d, asynq_error *error)
{
    const config *c = d->config;
    if (!c->private_directory)
        return ASYNQ_OK;
    d->redis = private_redis_start(&(private_redis_options){.loop = d->loop,
                                                            .log = &d->log,
                                                            .program = c->private_redis.program,
                                                            .directory = c->private_directory,
                                                            .port = (int)c->private_redis.port,
                                                            .stopped = redis_stopped,
                                                            .arg = d},
                                   error);
    return d->redis ? ASYNQ_OK : error->code;
}

static void stop_redis(void *arg)
{
    asynqd *d = arg;
    if (d->redis)
        private_redis_stop(d->redis);
    else
        loop_stop(d->loop);
}

/* ---- the end ---- */

/* Waits for running tasks, whose handlers need the loop meanwhile. */
static void *stop_work(void *arg)
{
    asynqd *d = arg;
    stop_schedulers(d);
    if (d->server)
        asynq_server_shutdown(d->server);
    if (d->database)
        database_stop(d->database, HISTORY_WITHIN_MS);
    loop_waker_wake(&d->stopped);
    return NULL;
}

static void work_stopped(void *arg)
{
    asynqd *d = arg;
    pthread_join(d->stopper, NULL);
    d->has_stopped_work = true;
    relay_cancel_all(d->relay);
    if (!relay_count(d->relay))
        calls_idle(d);
}

static void begin_stop(asynqd *d)
{
    asynq_error error;
    if (d->is_stopping)
        return;
    d->is_stopping = true;
    service_stopping();
    if (d->endpoints)
        endpoints_announce_stop(d->endpoints);
    log_info(&d->log, "stopping; running tasks have up to %.0f s", (double)d->config->shutdown_timeout_ms / 1000);
    if (thread_start(&d->stopper, stop_work, d, &error)) {
        log_error(&d->log, "%s; ending at once", error.text);
        loop_stop(d->loop);
    }
}

/* ---- signals ---- */

static void signal_arrived(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    asynqd *d = arg;
    struct signalfd_siginfo info;
    while (read(d->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGTSTP && d->server) {
            log_info(&d->log, "no new tasks are taken, as the signal TSTP came");
            asynq_server_stop(d->server);
        } else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
            begin_stop(d);
        }
    }
}

/* Before any thread is started, so that all inherit the mask. */
static int take_signals(asynqd *d, asynq_error *error)
{
    sigset_t taken;
    sigemptyset(&taken);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGINT);
    sigaddset(&taken, SIGTSTP);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &taken, NULL) ||
        (d->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return error_set(error, ASYNQ_E_SYSTEM, "signalfd: %s", strerror(errno));
    loop_watch_init(d->loop, &d->signals, d->signal_fd, signal_arrived, d);
    loop_watch_set(&d->signals, true, false);
    return ASYNQ_OK;
}

/* ---- the whole ---- */

/* The server's loop writes its statistics in each turn, and has a timer of a second; Redis may be away all the same. */
static bool is_alive(void *arg)
{
    asynqd *d = arg;
    asynq_server_stats stats = {.size = sizeof stats};
    if (!d->server || d->is_stopping)
        return true;
    asynq_server_get_stats(d->server, &stats);
    return clock_now_ns() / NS_PER_MS - stats.last_turn_ms < STUCK_AFTER_MS;
}

typedef int (*start_step)(asynqd *d, asynq_error *error);
static const start_step start_steps[] = {start_redis,  take_signals,    start_handlers, start_database,
                                         start_server, start_scheduler, start_jobs,     start_endpoints};

static void log_ready(asynqd *d)
{
    char where[256] = "";
    if (d->redis)
        snprintf(where, sizeof where, " on a private Redis in %s", d->config->private_directory);
    char status[512];
    snprintf(status, sizeof status, "%zu routes, %zu queues, concurrency %d%s", d->config->routes.count,
             d->config->queues.count, (int)d->config->concurrency, where);
    log_info(&d->log, "asynqd " ASYNQ_VERSION " is ready: %s", status);
    service_ready(&d->service, status);
}

static asynqd *daemon_new(config *c)
{
    asynqd *d = mem_calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->config = c;
    d->signal_fd = d->stopped.fd = -1;
    logger_init(&d->logger, c->log.format, c->log.output, config_log_level(c));
    d->own_source = (log_source){&d->logger, ""};
    d->server_source = (log_source){&d->logger, "server"};
    d->scheduler_source = (log_source){&d->logger, "scheduler"};
    d->jobs_source = (log_source){&d->logger, "jobs"};
    log_init(&d->log, logger_line, &d->own_source, ASYNQ_LOG_DEBUG); /* the logger knows the level */
    d->loop = loop_new();
    d->meters = metrics_new(meter_table, METER_COUNT);
    if (d->loop && d->meters && !loop_waker_init(d->loop, &d->stopped, work_stopped, d))
        return d;
    loop_free(d->loop);
    mem_free(d);
    return NULL;
}

static void daemon_free(asynqd *d)
{
    endpoints_free(d->endpoints);
    stop_schedulers(d);
    asynq_scheduler_free(d->scheduler);
    asynq_scheduler_free(d->jobs_scheduler);
    asynq_server_free(d->server);
    database_free(d->database);
    asynq_mux_free(d->mux);
    stop_plugins(d);
    mem_free(d->relay_routes);
    end_handlers(d);
    private_redis_free(d->redis);
    metrics_free(d->meters);
    service_clear(&d->service);
    loop_watch_clear(&d->signals);
    if (d->signal_fd >= 0)
        close(d->signal_fd);
    loop_waker_clear(&d->stopped);
    loop_free(d->loop);
    log_clear(&d->log);
    logger_clear(&d->logger);
    config_free(d->config);
    mem_free(d);
}

int daemon_run(config *c)
{
    asynqd *d = daemon_new(c);
    asynq_error error = {0};
    int status = d ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
    if (!d) {
        fputs("asynqd: out of memory\n", stderr);
        config_free(c);
        return EXIT_FAILURE;
    }
    child_raise_open_files();
    service_init(&d->service, d->loop, is_alive, d);
    for (size_t i = 0; !status && i < sizeof start_steps / sizeof *start_steps; i++)
        status = start_steps[i](d, &error);
    if (status) {
        log_error(&d->log, "asynqd cannot start: %s", error.text);
    } else {
        log_ready(d);
        loop_run(d->loop);
        log_info(&d->log, "asynqd has stopped");
    }
    daemon_free(d);
    return status ? EXIT_FAILURE : EXIT_SUCCESS;
}
