/* See daemon.h. */
#include "daemon/daemon.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "base/thread.h"
#include "daemon/config_reader.h"
#include "daemon/endpoints.h"
#include "daemon/liveness.h"
#include "daemon/logger.h"
#include "daemon/meters.h"
#include "daemon/private_redis.h"
#include "daemon/service.h"
#include "daemon/work.h"
#include "event/event_log.h"
#include "event/waker.h"
#include "handler/child.h"
#include "handler/http_client.h"
#include "handler/reaper.h"
#include "handler/resources.h"
#include "handler/route_lookup.h"
#include "pg/database.h"

#include <asynq/scheduler.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { HISTORY_WITHIN_MS = 10000, JOBS_WITHIN_MS = 1000, LONG_TURN_MS = 1000, STOPPING_MORE_MS = 20000 };

struct asynqd {
    config *config; /* the first one; what needs a restart is in it */
    config_sources sources;
    config_reader *reader;
    loop *loop;
    logger logger;
    log_source own_source, jobs_source;
    log_sink log;
    log_limit turn_limit;
    reaper reaper;

    int signal_fd;
    loop_watch signals;

    private_redis *redis;
    char directory[64]; /* for files of calls */
    http_client *http;
    resources *resources;
    work *work;
    route_lookup *lookup;            /* of the current configuration */
    asynq_scheduler *jobs_scheduler; /* of PostgreSQL's jobs */
    database *database;
    metrics *meters;
    endpoints *endpoints;
    service service;
    liveness liveness;

    pthread_t stopper;
    loop_waker stopped;
    bool is_stopping;
};

/* ---- work ---- */

static int make_directory(asynqd *d, asynq_error *error)
{
    const char *base = getenv("TMPDIR");
    snprintf(d->directory, sizeof d->directory, "%s/asynqd-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    if (mkdtemp(d->directory) && !chmod(d->directory, 0711))
        return ASYNQ_OK;
    int status = error_set(error, ASYNQ_E_SYSTEM, "%s: %s", d->directory, strerror(errno));
    d->directory[0] = '\0';
    return status;
}

static int64_t daemon_running(void *arg)
{
    asynqd *d = arg;
    asynq_server_stats stats = {.size = sizeof stats};
    work_get_stats(d->work, &stats);
    return stats.running;
}

static void daemon_shortage_changed(void *arg)
{
    asynqd *d = arg;
    if (!d->is_stopping)
        work_share(d->work);
}

/* What a configuration may need, told before it is lacking. */
static void daemon_check_files(asynqd *d)
{
    enum { OF_ITS_OWN = 64, OF_A_PROCESS = 4 };
    const config *c = d->config;
    struct rlimit limit;
    int64_t per_task = 0, needed = OF_ITS_OWN;
    for (size_t i = 0; i < c->routes.count; i++)
        if (c->routes.items[i].kind->descriptors > per_task)
            per_task = c->routes.items[i].kind->descriptors;
    for (size_t i = 0; i < c->workers.count; i++)
        needed += OF_A_PROCESS * c->workers.items[i].size;
    needed += per_task * c->concurrency;
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur != RLIM_INFINITY && (rlim_t)needed > limit.rlim_cur)
        log_warn(&d->log,
                 "up to %" PRId64 " files may be open with concurrency %d, and the limit (ulimit -n, LimitNOFILE) is "
                 "%" PRIu64 ": when they run out, fewer tasks run at the same time",
                 needed, (int)c->concurrency, (uint64_t)limit.rlim_cur);
}

static int start_work(asynqd *d, asynq_error *error)
{
    int status = make_directory(d, error);
    if (status)
        return status;
    d->http = http_client_new(d->loop);
    d->resources = resources_new(&(shortage_options){
        .loop = d->loop, .log = &d->log, .running = daemon_running, .changed = daemon_shortage_changed, .arg = d});
    d->lookup = route_lookup_new(&d->config->routes);
    if (d->http && d->resources && d->lookup)
        d->work = work_new(&(generation_options){.loop = d->loop,
                                                 .log = &d->log,
                                                 .logger = &d->logger,
                                                 .meters = d->meters,
                                                 .history = d->database ? database_history(d->database) : NULL,
                                                 .directory = d->directory,
                                                 .http = d->http,
                                                 .resources = d->resources});
    status = d->work ? work_start(d->work, d->config, error) : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status)
        liveness_start(&d->liveness, d->work);
    return status;
}

static void end_work(asynqd *d)
{
    work_free(d->work);
    http_client_free(d->http);
    resources_free(d->resources);
    if (d->directory[0] && rmdir(d->directory))
        log_warn(&d->log, "%s: %s", d->directory, strerror(errno));
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
                                                     .spool_most = c->postgres.spool_most,
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
    const config *c = d->config;
    jobs *source = d->database ? database_jobs(d->database) : NULL;
    asynq_scheduler_options options = {ASYNQ_SCHEDULER_OPTIONS_INIT,
                                       .redis = c->redis_uri,
                                       .zone = c->schedule.zone,
                                       .log = logger_line,
                                       .log_arg = &d->jobs_source,
                                       .log_level = ASYNQ_LOG_DEBUG, /* the logger knows the level */
                                       .shutdown_timeout_ms = JOBS_WITHIN_MS,
                                       .defaults = route_lookup_fill,
                                       .defaults_arg = d->lookup};
    if (!source)
        return ASYNQ_OK;
    jobs_set_options(source, &options);
    d->jobs_scheduler = asynq_scheduler_new(&options, error);
    int status = d->jobs_scheduler ? asynq_scheduler_start(d->jobs_scheduler, error) : error->code;
    if (!status)
        jobs_set_scheduler(source, d->jobs_scheduler);
    return status;
}

static void stop_jobs(asynqd *d)
{
    if (!d->jobs_scheduler)
        return;
    jobs_set_scheduler(database_jobs(d->database), NULL);
    asynq_scheduler_shutdown(d->jobs_scheduler);
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

static void stop_redis(asynqd *d)
{
    if (d->redis)
        private_redis_stop(d->redis);
    else
        loop_stop(d->loop);
}

/* ---- the end ---- */

/* Waits for Redis and PostgreSQL. */
static void *stop_database(void *arg)
{
    asynqd *d = arg;
    stop_jobs(d);
    if (d->database)
        database_stop(d->database, HISTORY_WITHIN_MS);
    loop_waker_wake(&d->stopped);
    return NULL;
}

static void database_stopped(void *arg)
{
    asynqd *d = arg;
    pthread_join(d->stopper, NULL);
    stop_redis(d);
}

static void work_stopped(void *arg)
{
    asynqd *d = arg;
    asynq_error error;
    if (thread_start(&d->stopper, stop_database, d, &error)) {
        log_error(&d->log, "%s; ending at once", error.text);
        loop_stop(d->loop);
    }
}

static void begin_stop(asynqd *d)
{
    if (d->is_stopping) {
        log_info(&d->log, "told to stop again: running tasks are given back at once");
        work_hurry(d->work);
        return;
    }
    d->is_stopping = true;
    service_stopping(work_config(d->work)->shutdown_timeout_ms + HISTORY_WITHIN_MS + STOPPING_MORE_MS);
    liveness_stop(&d->liveness);
    if (d->endpoints)
        endpoints_announce_stop(d->endpoints);
    log_info(&d->log, "stopping; running tasks have up to %.0f s",
             (double)work_config(d->work)->shutdown_timeout_ms / MS_PER_SECOND);
    work_stop(d->work, work_stopped, d);
}

/* ---- reading the configuration again ---- */

static void tell_restart(void *arg, const char *path)
{
    asynqd *d = arg;
    log_warn(&d->log, "%s has changed; that needs a restart", path);
}

static void tell_mistake(void *arg, const char *line, size_t length)
{
    asynqd *d = arg;
    log_error(&d->log, "%.*s", (int)length, line);
}

static void tell_doubt(void *arg, const char *line, size_t length)
{
    asynqd *d = arg;
    log_warn(&d->log, "%.*s", (int)length, line);
}

/* What is missing now may come before it is needed; one route is no reason to run none. */
static void tell_doubts(asynqd *d, const config *c)
{
    const char *doubts = option_set_doubts(c->source);
    text_each_line(doubts, doubts ? strlen(doubts) : 0, tell_doubt, d);
}

static void describe(const config *c, char *text, size_t size)
{
    snprintf(text, size, "%zu routes, %zu queues, concurrency %d", c->routes.count, c->queues.count,
             (int)c->concurrency);
}

static int take_config(asynqd *d, config *fresh, asynq_error *error)
{
    config_keep(fresh, d->config, tell_restart, d);
    int status = work_start(d->work, fresh, error);
    if (status)
        return status;
    logger_set_level(&d->logger, config_log_level(fresh));
    if (!route_lookup_set(d->lookup, &fresh->routes))
        log_error(&d->log, "defaults of routes stay as they were: out of memory");
    if (d->endpoints)
        endpoints_reconfigure(d->endpoints, fresh);
    return ASYNQ_OK;
}

/* What became of it is told in any case; the one that counts stays if the new one is of no use. */
static void take_fresh(asynqd *d, config *fresh, bool is_valid)
{
    asynq_error error;
    char status[128];
    if (!fresh) {
        log_error(&d->log, "the configuration stays as it is: out of memory");
    } else if (!is_valid) {
        const char *mistakes = option_set_complaints(fresh->source);
        text_each_line(mistakes, mistakes ? strlen(mistakes) : 0, tell_mistake, d);
        log_error(&d->log, "the configuration stays as it is, as there are mistakes in the new one");
    } else if (!fresh->routes.count && work_config(d->work)->routes.count) {
        log_error(&d->log, "the configuration stays as it is: the new one has no routes, so that no task would be run; "
                           "the signal TSTP has asynqd take no more tasks");
    } else if (take_config(d, fresh, &error)) {
        log_error(&d->log, "the configuration stays as it is: %s", error.text);
    } else {
        describe(fresh, status, sizeof status);
        log_info(&d->log, "the configuration was read again: %s", status);
        tell_doubts(d, fresh);
    }
}

static void config_came(void *arg, config *fresh, bool is_valid)
{
    asynqd *d = arg;
    char status[128];
    if (!d->is_stopping) {
        take_fresh(d, fresh, is_valid);
        describe(work_config(d->work), status, sizeof status);
        service_ready(&d->service, status);
    }
    config_free(fresh);
}

static void reload(asynqd *d)
{
    if (d->is_stopping)
        return;
    service_reloading();
    config_reader_start(d->reader);
}

static int start_reader(asynqd *d, asynq_error *error)
{
    d->reader = config_reader_new(&(config_reader_options){
        .loop = d->loop, .log = &d->log, .sources = &d->sources, .done = config_came, .arg = d});
    return d->reader ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* ---- signals ---- */

static void signal_arrived(void *arg, bool can_read, bool can_write)
{
    (void)can_read, (void)can_write;
    asynqd *d = arg;
    struct signalfd_siginfo info;
    while (read(d->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGTSTP) {
            log_info(&d->log, "no new tasks are taken, as the signal TSTP came");
            work_pause(d->work);
        } else if (info.ssi_signo == SIGHUP) {
            reload(d);
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
    sigaddset(&taken, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &taken, NULL) ||
        (d->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return error_set(error, ASYNQ_E_SYSTEM, "signalfd: %s", strerror(errno));
    loop_watch_init(d->loop, &d->signals, d->signal_fd, signal_arrived, d);
    loop_watch_set(&d->signals, true, false);
    return ASYNQ_OK;
}

/* ---- the whole ---- */

static bool is_alive(void *arg)
{
    const asynqd *d = arg;
    return liveness_is_alive(&d->liveness);
}

typedef int (*start_step)(asynqd *d, asynq_error *error);
static const start_step start_steps[] = {start_redis, start_reader, take_signals,   start_database,
                                         start_work,  start_jobs,   start_endpoints};

static void log_ready(asynqd *d)
{
    char where[256] = "";
    if (d->redis)
        snprintf(where, sizeof where, " on a private Redis in %s", d->config->private_directory);
    char status[128];
    describe(d->config, status, sizeof status);
    log_info(&d->log, "asynqd " ASYNQ_VERSION " is ready: %s%s", status, where);
    service_ready(&d->service, status);
}

/* A turn that is long is told: everything else had to wait for it. */
static void daemon_observe_turn(void *arg, int64_t held_ns)
{
    asynqd *d = arg;
    metrics_observe(d->meters, METER_LOOP_TURN, NO_LABELS, (double)held_ns / NS_PER_SECOND);
    if (held_ns > LONG_TURN_MS * NS_PER_MS)
        log_repeated(&d->log, &d->turn_limit, ASYNQ_LOG_WARN,
                     "asynqd's own loop was held for %.3f s; end-points and tasks had to wait",
                     (double)held_ns / NS_PER_SECOND);
}

static asynqd *daemon_new(config *c, const config_sources *sources)
{
    asynqd *d = mem_calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->config = c;
    d->sources = *sources;
    d->signal_fd = d->stopped.fd = -1;
    if (logger_init(&d->logger, c->log.format, c->log.output, config_log_level(c))) {
        mem_free(d);
        return NULL;
    }
    d->own_source = (log_source){&d->logger, ""};
    d->jobs_source = (log_source){&d->logger, "jobs"};
    log_init(&d->log, logger_line, &d->own_source, ASYNQ_LOG_DEBUG); /* the logger knows the level */
    event_log_begin(&d->log);
    d->loop = loop_new();
    d->meters = metrics_new(meter_table, METER_COUNT);
    if (d->loop)
        loop_on_turn(d->loop, daemon_observe_turn, d);
    if (d->loop && d->meters && !loop_waker_init(d->loop, &d->stopped, database_stopped, d))
        return d;
    loop_free(d->loop);
    event_log_end();
    logger_clear(&d->logger);
    mem_free(d);
    return NULL;
}

static void daemon_free(asynqd *d)
{
    reaper_stop(&d->reaper);
    config_reader_free(d->reader);
    endpoints_free(d->endpoints);
    stop_jobs(d);
    asynq_scheduler_free(d->jobs_scheduler);
    end_work(d);
    database_free(d->database);
    private_redis_free(d->redis);
    metrics_free(d->meters);
    route_lookup_free(d->lookup);
    service_clear(&d->service);
    liveness_stop(&d->liveness);
    loop_watch_clear(&d->signals);
    if (d->signal_fd >= 0)
        close(d->signal_fd);
    loop_waker_clear(&d->stopped);
    loop_free(d->loop);
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
    tell_doubts(d, c);
    reaper_start(&d->reaper, d->loop);
    service_init(&d->service, d->loop, is_alive, d);
    liveness_init(&d->liveness, d->loop);
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
