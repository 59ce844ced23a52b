/* See generation.h. */
#include "daemon/generation.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "daemon/attempts.h"
#include "daemon/restarts.h"
#include "event/waker.h"
#include "handler/plugin.h"
#include "handler/relay.h"
#include "handler/route_lookup.h"
#include "handler/worker_pool.h"

#include <asynq/scheduler.h>
#include <string.h>

enum { SCHEDULER_WITHIN_MS = 5000, LOOK_AGAIN_MS = 50 /* whether a task is left */ };

/* Worker pools, and what their options live in. */
typedef struct worker_set {
    int refs;
    handler_host host;
    config *config;
} worker_set;

struct generation {
    generation_options options;
    config *config;
    log_source server_source, scheduler_source;
    worker_set *workers;
    relay *relay;
    relay_route *relay_routes;
    plugin **plugins; /* by route; NULL: it needs none */
    asynq_mux *mux;
    attempts attempts; /* what the functions of the server get */
    restarts *restarts;
    asynq_server *server;
    asynq_scheduler *scheduler; /* of the schedule file */
    route_lookup *lookup;       /* for that */

    pthread_t winder; /* ends server and scheduler, for which one has to wait */
    loop_waker wound_up;
    pthread_mutex_t lock;
    pthread_cond_t hurry;
    bool is_hurried; /* under the lock */
    _Atomic bool takes_tasks;
    bool is_retired, has_winder, is_wound_up, is_ending;
    loop_deferred end;
};

/* ---- worker pools ---- */

static worker_set *worker_set_new(const generation_options *o, config *c)
{
    worker_set *set = mem_calloc(1, sizeof *set);
    if (!set)
        return NULL;
    *set = (worker_set){
        .refs = 1,
        .host = {.loop = o->loop, .log = o->log, .directory = o->directory, .http = o->http, .resources = o->resources},
        .config = config_hold(c)};
    set->host.workers = worker_pools_new(&set->host, &c->workers);
    if (set->host.workers)
        return set;
    config_free(c);
    mem_free(set);
    return NULL;
}

/* Accepts NULL. */
static void worker_set_unref(worker_set *set)
{
    if (!set || --set->refs)
        return;
    worker_pools_free(set->host.workers);
    config_free(set->config);
    mem_free(set);
}

static int take_workers(generation *g, generation *previous, asynq_error *error)
{
    worker_set *known = previous ? previous->workers : NULL;
    if (known && worker_list_is_same(&known->config->workers, &g->config->workers)) {
        known->refs++;
        g->workers = known;
        worker_pools_refresh(known->host.workers, &g->config->workers);
        return ASYNQ_OK;
    }
    g->workers = worker_set_new(&g->options, g->config);
    return g->workers ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* ---- the end ---- */

static void finish(void *arg)
{
    generation *g = arg;
    worker_set_unref(g->workers);
    g->workers = NULL;
    g->options.ended(g, g->options.arg);
}

/* Not from within what is being ended: that is still on the stack. */
static void workers_gone(void *arg)
{
    generation *g = arg;
    loop_defer(g->options.loop, &g->end, finish, g);
}

static void end_parts(void *arg)
{
    generation *g = arg;
    if (g->workers->refs == 1)
        worker_pools_stop(g->workers->host.workers, workers_gone, g);
    else
        workers_gone(g);
}

static void end_if_idle(void *arg)
{
    generation *g = arg;
    if (!g->is_wound_up || g->is_ending || (g->relay && relay_count(g->relay)))
        return;
    g->is_ending = true;
    loop_defer(g->options.loop, &g->end, end_parts, g);
}

static bool has_tasks(const generation *g)
{
    asynq_server_stats stats = {.size = sizeof stats};
    asynq_server_get_stats(g->server, &stats);
    return stats.running > 0;
}

static void wait_for_tasks(generation *g)
{
    pthread_mutex_lock(&g->lock);
    while (!g->is_hurried && has_tasks(g)) {
        struct timespec until = thread_wait_end(LOOK_AGAIN_MS);
        pthread_cond_timedwait(&g->hurry, &g->lock, &until);
    }
    pthread_mutex_unlock(&g->lock);
}

static void *end_scheduler(void *arg)
{
    asynq_scheduler_shutdown(arg);
    return NULL;
}

/* Handlers need the loop meanwhile. Scheduler and server share the time that there is. */
static void *wind_up(void *arg)
{
    generation *g = arg;
    pthread_t ender;
    bool has_ender = g->scheduler && !thread_start(&ender, end_scheduler, g->scheduler, NULL);
    if (g->scheduler && !has_ender)
        asynq_scheduler_shutdown(g->scheduler);
    if (g->server) {
        asynq_server_stop(g->server);
        g->takes_tasks = false;
        wait_for_tasks(g);
        asynq_server_shutdown(g->server);
    }
    if (has_ender)
        pthread_join(ender, NULL);
    loop_waker_wake(&g->wound_up);
    return NULL;
}

static void wound_up(void *arg)
{
    generation *g = arg;
    if (g->has_winder)
        pthread_join(g->winder, NULL);
    g->has_winder = false;
    g->is_wound_up = true;
    if (g->relay)
        relay_cancel_all(g->relay); /* handlers whose tasks were given up */
    end_if_idle(g);
}

void generation_retire(generation *g, bool is_hurried)
{
    asynq_error error;
    pthread_mutex_lock(&g->lock);
    g->is_hurried |= is_hurried;
    pthread_cond_signal(&g->hurry);
    pthread_mutex_unlock(&g->lock);
    if (g->is_retired)
        return;
    g->is_retired = true;
    g->has_winder = !thread_start(&g->winder, wind_up, g, &error);
    if (!g->has_winder) {
        log_error(g->options.log, "%s; tasks are given up", error.text);
        wind_up(g);
    }
}

/* ---- messages ---- */

static void restart_pool(void *arg, const char *pool)
{
    generation *g = arg;
    if (g->is_retired)
        return; /* the next one has heard it, too */
    if (!worker_pools_restart(g->workers->host.workers, pool))
        log_warn(g->options.log, "a restart of the worker pool \"%.100s\" was asked for, and there is none", pool);
}

static void message_came(const char *text, size_t length, void *arg)
{
    generation *g = (generation *)(void *)((char *)arg - offsetof(generation, attempts));
    restarts_take(g->restarts, text, length);
}

/* ---- server ---- */

/* So that the policies of the configuration count, and not those of the plug-in. */
static int run_plugin(asynq_job *job, void *mux)
{
    return asynq_mux_dispatch(job, mux);
}

static int make_route(generation *g, size_t index, asynq_route *row, asynq_error *error)
{
    const route *own = &g->config->routes.items[index];
    const plugin_route *as_plugin = own->options;
    if (own->kind != &handler_plugin || as_plugin->is_isolated) {
        g->relay_routes[index] = (relay_route){g->relay, own};
        *row = route_for_mux(own, relay_handle, &g->relay_routes[index], ASYNQ_HANDLER_ASYNC);
        row->starts_later = true;
        row->capacity = own->kind->capacity ? own->kind->capacity(&g->workers->host, own) : NULL;
        return ASYNQ_OK;
    }
    g->plugins[index] = plugin_load(as_plugin->path, as_plugin->config, error);
    if (!g->plugins[index])
        return error->code;
    *row = route_for_mux(own, own->has_retry || own->has_limit ? run_plugin : asynq_mux_dispatch,
                         plugin_mux(g->plugins[index]), ASYNQ_HANDLER_THREAD);
    return ASYNQ_OK;
}

static int make_mux(generation *g, asynq_error *error)
{
    const route_list *routes = &g->config->routes;
    g->mux = asynq_mux_new();
    g->relay_routes = mem_calloc(routes->count + 1, sizeof *g->relay_routes);
    g->plugins = mem_calloc(routes->count + 1, sizeof(plugin *));
    if (!g->mux || !g->relay_routes || !g->plugins)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; i < routes->count; i++) {
        asynq_route row = {0};
        int status = make_route(g, i, &row, error);
        if (!status)
            status = asynq_mux_handle(g->mux, &row, error);
        if (status)
            return status;
        for (const asynq_queue *queue = g->config->queue_list; queue->name; queue++)
            attempts_begin_counters(g->options.meters, queue->name, row.pattern);
    }
    return ASYNQ_OK;
}

static int start_server(generation *g, int concurrency, asynq_error *error)
{
    const config *c = g->config;
    if (!c->routes.count) {
        log_warn(g->options.log, "there are no routes, so no tasks are run; see asynqd.conf(5)");
        return ASYNQ_OK;
    }
    int status = make_mux(g, error);
    if (status)
        return status;
    g->attempts = (attempts){.log = g->options.logger,
                             .meters = g->options.meters,
                             .mux = g->mux,
                             .is_logged = c->log.attempts,
                             .history = g->options.history};
    g->server = asynq_server_new(
        &(asynq_server_options){ASYNQ_SERVER_OPTIONS_INIT, .redis = c->redis_uri, .concurrency = (int)c->concurrency,
                                .queues = c->queue_list, .strict_priority = c->is_strict, .mux = g->mux,
                                .shutdown_timeout_ms = c->shutdown_timeout_ms, .on_start = attempt_started,
                                .on_end = attempt_ended, .on_message = message_came, .arg = &g->attempts,
                                .log = logger_line, .log_arg = &g->server_source, .log_level = config_log_level(c)},
        error);
    if (!g->server || asynq_server_set_concurrency(g->server, concurrency, error))
        return error->code;
    g->takes_tasks = true;
    return asynq_server_start(g->server, error);
}

/* ---- the schedule file ---- */

static int start_scheduler(generation *g, asynq_error *error)
{
    const config *c = g->config;
    int64_t within_ms = c->shutdown_timeout_ms < SCHEDULER_WITHIN_MS ? c->shutdown_timeout_ms : SCHEDULER_WITHIN_MS;
    if (!c->schedule.file)
        return ASYNQ_OK;
    g->lookup = route_lookup_new(&c->routes);
    if (!g->lookup)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    g->scheduler = asynq_scheduler_new(
        &(asynq_scheduler_options){ASYNQ_SCHEDULER_OPTIONS_INIT, .redis = c->redis_uri, .zone = c->schedule.zone,
                                   .file = c->schedule.file, .defaults = route_lookup_fill, .defaults_arg = g->lookup,
                                   .log = logger_line, .log_arg = &g->scheduler_source,
                                   .log_level = config_log_level(c), .shutdown_timeout_ms = within_ms},
        error);
    return g->scheduler ? asynq_scheduler_start(g->scheduler, error) : error->code;
}

/* ---- the whole ---- */

static int start_parts(generation *g, generation *previous, asynq_error *error)
{
    if (loop_waker_init(g->options.loop, &g->wound_up, wound_up, g))
        return error_set_code(error, ASYNQ_E_SYSTEM);
    g->restarts = restarts_new(g->options.loop, restart_pool, g);
    if (!g->restarts)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    int status = take_workers(g, previous, error);
    if (!status) {
        g->relay = relay_new(&g->workers->host, end_if_idle, g);
        status = g->relay ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    if (!status)
        status = start_scheduler(g, error); /* first, as a mistake in its file is found at once */
    if (!status)
        status = start_server(g, previous ? 0 : (int)g->config->concurrency, error);
    return status;
}

generation *generation_start(const generation_options *options, config *c, generation *previous, asynq_error *error)
{
    generation *g = mem_calloc(1, sizeof *g);
    if (!g)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    g->options = *options;
    g->config = config_hold(c);
    g->wound_up.fd = -1;
    g->server_source = (log_source){options->logger, "server"};
    g->scheduler_source = (log_source){options->logger, "scheduler"};
    pthread_mutex_init(&g->lock, NULL);
    thread_cond_init(&g->hurry);
    if (!start_parts(g, previous, error))
        return g;
    generation_free(g);
    return NULL;
}

void generation_free(generation *g)
{
    if (!g)
        return;
    if (g->has_winder)
        pthread_join(g->winder, NULL);
    asynq_scheduler_free(g->scheduler);
    route_lookup_free(g->lookup);
    asynq_server_free(g->server);
    restarts_free(g->restarts);
    asynq_mux_free(g->mux);
    for (size_t i = 0; g->plugins && i < g->config->routes.count; i++)
        plugin_stop(g->plugins[i]);
    mem_free(g->plugins);
    mem_free(g->relay_routes);
    relay_free(g->relay);
    worker_set_unref(g->workers);
    loop_waker_clear(&g->wound_up);
    pthread_cond_destroy(&g->hurry);
    pthread_mutex_destroy(&g->lock);
    config_free(g->config);
    mem_free(g);
}

const config *generation_config(const generation *g)
{
    return g->config;
}

const handler_host *generation_host(const generation *g)
{
    return g->workers ? &g->workers->host : NULL;
}

asynq_server *generation_server(const generation *g)
{
    return g->server;
}

bool generation_takes_tasks(const generation *g)
{
    return g->takes_tasks;
}
