/* See daemon.h. */
#include "daemon/daemon.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/open_files.h"
#include "daemon/ending.h"
#include "daemon/exit_timer.h"
#include "daemon/logger.h"
#include "daemon/meters.h"
#include "daemon/service.h"
#include "event/event_log.h"
#include "event/signal_watch.h"
#include "handler/resources.h"
#include "handler/route_lookup.h"
#include "http/http_client.h"
#include "process/call_files.h"
#include "process/child.h"
#include "process/reaper.h"

#include <asynq/version.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONG_TURN_MS = 1000, LEAVE_CHILDREN_MS = 1000, FREE_WITHIN_MS = 5000 };

struct asynqd {
    config *config; /* the first one; what needs a restart is in it */
    config_sources sources;
    loop *loop;
    errands *errands; /* what takes long, so that the loop does not do it */
    reload *reload;
    logger logger;
    log_source own_source;
    log_sink log;
    log_limit turn_limit;
    reaper reaper;

    signal_watch signals;

    private_redis *redis;
    call_files *files;
    http_client *http;
    resources *resources;
    work *work;
    route_lookup *lookup; /* of the current configuration */
    job_schedule *jobs;
    database *database;
    metrics *meters;
    endpoints *endpoints;
    service service;
    liveness liveness;

    ending ending;
};

/* ---- work ---- */

static int64_t daemon_running(void *arg)
{
    asynqd *d = arg;
    asynq_server_stats stats;
    work_get_stats(d->work, &stats);
    return stats.running;
}

static void daemon_shortage_changed(void *arg)
{
    asynqd *d = arg;
    if (!d->ending.has_begun)
        work_share(d->work);
}

/* What a configuration may need, told before it is lacking. */
static void daemon_check_files(asynqd *d)
{
    enum { OF_ITS_OWN = 64, OF_A_PROCESS = 4 };
    const config *c = d->config;
    int64_t per_task = 0, needed = OF_ITS_OWN, limit = open_files_limit();
    for (size_t i = 0; i < c->routes.count; i++)
        if (c->routes.items[i].kind->descriptors > per_task)
            per_task = c->routes.items[i].kind->descriptors;
    for (size_t i = 0; i < c->workers.count; i++)
        needed += OF_A_PROCESS * c->workers.items[i].size;
    needed += per_task * c->concurrency;
    if (needed > limit)
        log_event(&d->log, LOG_FILES_LIMITED,
                  "up to %" PRId64 " files may be open with concurrency %d, and the limit (ulimit -n, LimitNOFILE) is "
                  "%" PRId64 ": when they run out, fewer tasks run at the same time",
                  needed, (int)c->concurrency, limit);
}

static int start_errands(asynqd *d, asynq_error *error)
{
    d->errands = errands_new(d->loop, error);
    return d->errands ? ASYNQ_OK : error->code;
}

/* A mistake in the schedule's file is found before anything runs. */
static int daemon_begin_work(asynqd *d, asynq_error *error)
{
    generation_source from = {.config = d->config};
    if (d->config->schedule.file && !(from.schedule = file_schedule_start(d->config, &d->logger, error)))
        return error->code;
    from.plugins = plugin_set_load(&d->config->routes, error);
    if (!from.plugins) {
        file_schedule_free(from.schedule);
        return error->code;
    }
    generation *first = generation_prepare(work_options(d->work), &from, error);
    return first ? work_start(d->work, first, error) : error->code;
}

static int start_work(asynqd *d, asynq_error *error)
{
    d->files = call_files_new(d->loop, &d->log, error);
    if (!d->files)
        return error->code;
    d->http = http_client_new(d->loop, &d->log, d->errands);
    d->resources = resources_new(&(shortage_options){
        .loop = d->loop, .log = &d->log, .running = daemon_running, .changed = daemon_shortage_changed, .arg = d});
    d->lookup = route_lookup_new(&d->config->routes);
    if (!d->http || !d->resources || !d->lookup)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    d->work = work_new(&(generation_options){.loop = d->loop,
                                             .log = &d->log,
                                             .logger = &d->logger,
                                             .meters = d->meters,
                                             .history = d->database ? database_history(d->database) : NULL,
                                             .files = d->files,
                                             .http = d->http,
                                             .resources = d->resources,
                                             .errands = d->errands},
                       error);
    int status = d->work ? daemon_begin_work(d, error) : error->code;
    if (!status)
        liveness_start(&d->liveness, d->work);
    return status;
}

static void end_work(asynqd *d)
{
    work_free(d->work);
    http_client_free(d->http);
    resources_free(d->resources);
    call_files_free(d->files);
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
                                                     .schema = c->postgres.schema,
                                                     .spool = c->spool,
                                                     .redis = c->redis_uri,
                                                     .prefix = c->prefix,
                                                     .spool_max = c->postgres.spool_max,
                                                     .retention_ms = c->postgres.retention_ms,
                                                     .jobs_retention_ms = c->postgres.jobs_retention_ms,
                                                     .has_history = c->postgres.history,
                                                     .has_jobs = c->postgres.jobs},
                                 error);
    return d->database ? ASYNQ_OK : error->code;
}

/* The file's scheduler belongs to the work. */
static int start_jobs(asynqd *d, asynq_error *error)
{
    jobs *source = d->database ? database_jobs(d->database) : NULL;
    if (!source)
        return ASYNQ_OK;
    d->jobs = job_schedule_start(d->config, &d->logger, source, d->lookup, error);
    return d->jobs ? ASYNQ_OK : error->code;
}

/* ---- end-points ---- */

static int start_endpoints(asynqd *d, asynq_error *error)
{
    d->endpoints = endpoints_start(&(endpoints_options){.loop = d->loop,
                                                        .log = &d->log,
                                                        .config = d->config,
                                                        .meters = d->meters,
                                                        .work = d->work,
                                                        .routes = d->lookup,
                                                        .liveness = &d->liveness,
                                                        .resources = d->resources,
                                                        .logger = &d->logger,
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

/* ---- reading the configuration again ---- */

static int start_reload(asynqd *d, asynq_error *error)
{
    d->reload = reload_new(&(reload_options){.errands = d->errands,
                                             .log = &d->log,
                                             .logger = &d->logger,
                                             .sources = &d->sources,
                                             .first = d->config,
                                             .work = d->work,
                                             .routes = d->lookup,
                                             .endpoints = d->endpoints,
                                             .service = &d->service});
    return d->reload ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* ---- signals ---- */

static void daemon_end(asynqd *d)
{
    ending_begin(&d->ending, &(ending_parts){.loop = d->loop,
                                             .log = &d->log,
                                             .reload = d->reload,
                                             .liveness = &d->liveness,
                                             .endpoints = d->endpoints,
                                             .jobs = d->jobs,
                                             .database = d->database,
                                             .redis = d->redis,
                                             .work = d->work});
}

static void daemon_pause(asynqd *d)
{
    log_event(&d->log, LOG_FETCHING_STOPPED, "the signal TSTP was received; running tasks continue");
    work_pause(d->work);
}

static void daemon_reload(asynqd *d)
{
    reload_begin(d->reload);
}

static const struct {
    int number;
    void (*act)(asynqd *d);
} orders[] = {{SIGTERM, daemon_end}, {SIGINT, daemon_end}, {SIGTSTP, daemon_pause}, {SIGHUP, daemon_reload}};

enum { ORDERS = sizeof orders / sizeof *orders };

static void signal_arrived(int number, void *arg)
{
    for (size_t i = 0; i < ORDERS; i++)
        if (orders[i].number == number)
            orders[i].act(arg);
}

/* Threads of libraries inherit the mask; those of ours get no signals at all. See inherited.h for what was before. */
static int take_signals(asynqd *d, asynq_error *error)
{
    int numbers[ORDERS + 1] = {0};
    for (size_t i = 0; i < ORDERS; i++)
        numbers[i] = orders[i].number;
    return signal_watch_start(&d->signals, d->loop, numbers, signal_arrived, d, error);
}

/* ---- the whole ---- */

static bool is_alive(void *arg)
{
    const asynqd *d = arg;
    return liveness_is_alive(&d->liveness);
}

typedef int (*start_step)(asynqd *d, asynq_error *error);
static const start_step start_steps[] = {start_redis, take_signals, start_database,  start_errands,
                                         start_work,  start_jobs,   start_endpoints, start_reload};

static void log_ready(asynqd *d)
{
    char where[256] = "";
    if (d->redis)
        snprintf(where, sizeof where, " on a private Redis in %s", d->config->private_directory);
    char status[128];
    config_describe(d->config, status, sizeof status);
    log_event(&d->log, LOG_DAEMON_READY, "asynqd " ASYNQ_VERSION ", %s%s", status, where);
    service_ready(&d->service, status);
}

/* A turn that is long is told: everything else had to wait for it. */
static void daemon_observe_turn(void *arg, int64_t held_ns)
{
    asynqd *d = arg;
    metrics_observe(d->meters, METER_LOOP_TURN, NO_LABELS, (double)held_ns / NS_PER_SECOND);
    if (held_ns > LONG_TURN_MS * NS_PER_MS)
        log_event_repeated(&d->log, &d->turn_limit, LOG_LOOP_BLOCKED, "for %.3f s; endpoints and tasks had to wait",
                           (double)held_ns / NS_PER_SECOND);
}

static asynqd *daemon_new(config *c, const config_sources *sources)
{
    asynqd *d = mem_calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->config = c;
    d->sources = *sources;
    if (logger_init(&d->logger, c->log.format, c->log.output, config_log_level(c))) {
        mem_free(d);
        return NULL;
    }
    d->own_source = (log_source){&d->logger, ""};
    log_init(&d->log, logger_line, &d->own_source, ASYNQ_LOG_DEBUG); /* the logger knows the level */
    event_log_begin(&d->log);
    d->loop = loop_new();
    d->meters = metrics_new(meter_table, METER_COUNT);
    if (d->loop)
        loop_on_turn(d->loop, daemon_observe_turn, d);
    if (d->loop && d->meters && !ending_init(&d->ending, d->loop))
        return d;
    loop_free(d->loop);
    event_log_end();
    logger_clear(&d->logger);
    mem_free(d);
    return NULL;
}

static void daemon_free(asynqd *d, int exit_status)
{
    exit_timer *timer = exit_timer_start(&d->log, FREE_WITHIN_MS, exit_status);
    reaper_stop(&d->reaper);
    reload_end(d->reload);
    endpoints_free(d->endpoints);
    job_schedule_free(d->jobs);
    end_work(d);
    errands_free(d->errands);
    reload_free(d->reload);
    database_free(d->database);
    private_redis_free(d->redis);
    metrics_free(d->meters);
    route_lookup_free(d->lookup);
    service_clear(&d->service);
    liveness_stop(&d->liveness);
    signal_watch_clear(&d->signals);
    ending_clear(&d->ending);
    child_leave_all(LEAVE_CHILDREN_MS);
    loop_free(d->loop);
    exit_timer_stop(timer);
    event_log_end();
    log_clear(&d->log);
    logger_clear(&d->logger);
    config_free(d->config);
    mem_free(d);
}

int daemon_run(config *c, const config_sources *sources)
{
    asynqd *d = daemon_new(c, sources);
    asynq_error error = {0};
    int status = d ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
    if (!d) {
        fputs("asynqd: out of memory\n", stderr);
        config_free(c);
        return EXIT_FAILURE;
    }
    child_raise_open_files();
    daemon_check_files(d);
    config_tell_doubts(c, &d->log);
    reaper_start(&d->reaper, d->loop);
    service_init(&d->service, d->loop, is_alive, d);
    liveness_init(&d->liveness, d->loop);
    for (size_t i = 0; !status && i < sizeof start_steps / sizeof *start_steps; i++)
        status = start_steps[i](d, &error);
    if (status) {
        log_event(&d->log, LOG_START_FAILED, "%s", error.text);
    } else {
        log_ready(d);
        loop_run(d->loop);
        log_event(&d->log, LOG_DAEMON_STOPPED, "asynqd " ASYNQ_VERSION);
    }
    int exit_status = status ? EXIT_FAILURE : EXIT_SUCCESS;
    daemon_free(d, exit_status);
    return exit_status;
}
