/* See generation.h. */
#include "daemon/generation.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/attempts.h"
#include "daemon/restarts.h"
#include "daemon/routes.h"
#include "event/waker.h"
#include "handler/relay.h"
#include "process/plugin.h"
#include "process/worker_pools.h"

#include <string.h>

enum {
    LOOK_AGAIN_MS = 50,           /* whether a task is left */
    SCHEDULE_LEFT_AFTER_MS = 7000 /* more than a scheduler waits for Redis */
};

/* Worker pools, and what their options live in. */
typedef struct worker_set {
    int refs;
    handler_host host;
    config *config;
} worker_set;

/* What the winder is to do, ever more urgently. */
typedef enum winder_order {
    WINDER_WAIT,
    WINDER_RETIRE, /* as soon as there are no tasks */
    WINDER_HURRY,  /* with those that there are */
    WINDER_LEAVE   /* nothing: the loop runs no more */
} winder_order;

struct generation {
    generation_options options;
    config *config;
    log_source server_source;
    worker_set *workers;
    relay *relay;
    relay_route *relay_routes;
    plugin_set *plugins; /* NULL: its routes need none */
    asynq_mux *mux;
    attempts attempts; /* what the functions of the server get */
    restarts *restarts;
    asynq_server *server;
    file_schedule *schedule; /* NULL: there is none */

    pthread_t winder; /* ends server and scheduler, for which one has to wait */
    loop_waker wound_up;
    pthread_mutex_t lock;
    pthread_cond_t order_came;
    winder_order order; /* under the lock */
    _Atomic bool takes_tasks;
    bool is_retired, has_winder, is_wound_up, is_ending;
    loop_deferred end;
};

/* ---- worker pools ---- */

static handler_host host_of(const generation_options *o)
{
    return (handler_host){
        .loop = o->loop, .log = o->log, .files = o->files, .http = o->http, .resources = o->resources};
}

static worker_set *worker_set_new(const generation_options *o, config *c)
{
    worker_set *set = mem_calloc(1, sizeof *set);
    if (!set)
        return NULL;
    *set = (worker_set){.refs = 1, .host = host_of(o), .config = config_hold(c)};
    set->host.concurrency = c->concurrency;
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

static int generation_take_workers(generation *g, generation *previous, asynq_error *error)
{
    worker_set *known = previous ? previous->workers : NULL;
    if (known && worker_list_is_same(&known->config->workers, &g->config->workers)) {
        known->refs++;
        g->workers = known;
        known->host.concurrency = g->config->concurrency;
        worker_pools_refresh(known->host.workers, &g->config->workers);
        return ASYNQ_OK;
    }
    g->workers = worker_set_new(&g->options, g->config);
    return g->workers ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

/* ---- the end ---- */

static void generation_finish(void *arg)
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
    loop_defer(g->options.loop, &g->end, generation_finish, g);
}

static void end_parts(void *arg)
{
    generation *g = arg;
    if (g->workers && g->workers->refs == 1)
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
    asynq_server_stats stats;
    asynq_server_get_stats(g->server, &stats);
    return stats.running > 0;
}

static winder_order wait_for_order(generation *g)
{
    pthread_mutex_lock(&g->lock);
    while (g->order == WINDER_WAIT)
        pthread_cond_wait(&g->order_came, &g->lock);
    winder_order order = g->order;
    pthread_mutex_unlock(&g->lock);
    return order;
}

static void wait_for_tasks(generation *g)
{
    pthread_mutex_lock(&g->lock);
    while (g->order == WINDER_RETIRE && has_tasks(g)) {
        struct timespec until = thread_wait_end(LOOK_AGAIN_MS);
        pthread_cond_timedwait(&g->order_came, &g->lock, &until);
    }
    pthread_mutex_unlock(&g->lock);
}

static void give_order(generation *g, winder_order order)
{
    pthread_mutex_lock(&g->lock);
    if (g->order < order)
        g->order = order;
    pthread_cond_signal(&g->order_came);
    pthread_mutex_unlock(&g->lock);
}

/*
 * Handlers need the loop meanwhile. Scheduler and server share the time that there is. The thread is there from the
 * start, as an end that has begun cannot wait until there is one.
 */
static void *wind_up(void *arg)
{
    generation *g = arg;
    if (wait_for_order(g) == WINDER_LEAVE)
        return NULL;
    if (g->schedule)
        file_schedule_begin_end(g->schedule);
    if (g->server) {
        asynq_server_stop(g->server);
        g->takes_tasks = false;
        wait_for_tasks(g);
        asynq_server_shutdown(g->server);
    }
    if (g->schedule && !file_schedule_await_end(g->schedule, SCHEDULE_LEFT_AFTER_MS)) {
        log_event(g->options.log, LOG_THREAD_LEFT,
                  "the schedule file still holds a thread after %d s; going on without it",
                  SCHEDULE_LEFT_AFTER_MS / 1000);
        g->schedule = NULL;
    }
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
    g->is_retired = true;
    give_order(g, is_hurried ? WINDER_HURRY : WINDER_RETIRE);
}

/* ---- messages ---- */

static void restart_pool(void *arg, const char *pool)
{
    generation *g = arg;
    if (g->is_retired)
        return; /* the next one has heard it, too */
    if (!worker_pools_restart(g->workers->host.workers, pool))
        log_event(g->options.log, LOG_POOL_UNKNOWN, "a restart of \"%.100s\" was asked for", pool);
}

static void message_came(const char *text, size_t length, void *arg)
{
    generation *g = container_of(arg, generation, attempts);
    restarts_take(g->restarts, text, length);
}

/* ---- server ---- */

/* So that the policies of the configuration count, and not those of the plug-in. */
static int run_plugin(asynq_job *job, void *mux)
{
    return asynq_mux_dispatch(job, mux);
}

static void make_route(generation *g, size_t index, asynq_route *row)
{
    const route *own = &g->config->routes.items[index];
    const plugin_route *as_plugin = own->options;
    if (own->kind != &handler_plugin || as_plugin->is_isolated) {
        g->relay_routes[index] = (relay_route){.relay = g->relay, .route = own};
        *row = route_for_mux(own, relay_handle, &g->relay_routes[index], ASYNQ_HANDLER_ASYNC);
        row->deferred_start = true;
        row->capacity = own->kind->capacity ? own->kind->capacity(&g->workers->host, own) : NULL;
        g->relay_routes[index].capacity = row->capacity;
        return;
    }
    *row = route_for_mux(own, own->has_retry || own->has_limit ? run_plugin : asynq_mux_dispatch,
                         plugin_mux(plugin_set_at(g->plugins, index)), ASYNQ_HANDLER_THREAD);
}

/* The server has it, and looks into it when it starts. */
static int fill_mux(generation *g, asynq_error *error)
{
    const route_list *routes = &g->config->routes;
    for (size_t i = 0; i < routes->count; i++) {
        asynq_route row = {0};
        make_route(g, i, &row);
        int status = asynq_mux_handle(g->mux, &row, error);
        if (status)
            return status;
    }
    return ASYNQ_OK;
}

/* The line of the attempt says it, with more. */
static void generation_log_server(asynq_log_level level, const char *line, void *arg)
{
    generation *g = arg;
    const char *archived = log_events[LOG_TASK_ARCHIVED].text;
    if (!g->config->log.attempts || strncmp(line, archived, strlen(archived)) != 0)
        logger_line(level, line, &g->server_source);
}

static asynq_server *generation_make_server(generation *g, asynq_error *error)
{
    const config *c = g->config;
    return asynq_server_new(&(asynq_server_options){.redis = c->redis_uri,
                                                    .prefix = c->prefix,
                                                    .concurrency = (int)c->concurrency,
                                                    .queues = c->queue_list,
                                                    .strict_priority = c->is_strict,
                                                    .mux = g->mux,
                                                    .shutdown_timeout_ms = c->shutdown_timeout_ms,
                                                    .lost_tasks = (asynq_lost_policy)c->lost_tasks,
                                                    .max_losses = (int)c->max_losses,
                                                    .session_timeout_ms = c->session_timeout_ms,
                                                    .session_renewal_ms = c->session_renewal_ms,
                                                    .on_start = attempt_started,
                                                    .on_end = attempt_ended,
                                                    .on_message = message_came,
                                                    .arg = &g->attempts,
                                                    .log = generation_log_server,
                                                    .log_arg = g,
                                                    .log_level = config_log_level(c)},
                            error);
}

static int generation_start_server(generation *g, int concurrency, asynq_error *error)
{
    if (!g->server) {
        log_event(g->options.log, LOG_ROUTES_MISSING, "no tasks are run; see asynqd.conf(5)");
        return ASYNQ_OK;
    }
    int status = fill_mux(g, error);
    if (!status)
        status = asynq_server_set_concurrency(g->server, concurrency, error);
    if (status)
        return status;
    g->takes_tasks = true;
    return asynq_server_start(g->server, error);
}

/* ---- the whole ---- */

static int generation_start_parts(generation *g, generation *previous, asynq_error *error)
{
    if (loop_waker_init(g->options.loop, &g->wound_up, wound_up, g))
        return error_set_code(error, ASYNQ_E_SYSTEM);
    int status = thread_start(&g->winder, wind_up, g, error);
    if (status)
        return status;
    g->has_winder = true;
    g->restarts = restarts_new(g->options.loop, restart_pool, g);
    if (!g->restarts)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    status = generation_take_workers(g, previous, error);
    if (!status) {
        g->relay = relay_new(&g->workers->host, end_if_idle, g);
        status = g->relay ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    if (!status)
        status = generation_start_server(g, previous ? 0 : (int)g->config->concurrency, error);
    return status;
}

static int prepare_server(generation *g, asynq_error *error)
{
    const config *c = g->config;
    g->mux = asynq_mux_new();
    g->relay_routes = mem_calloc(c->routes.count + 1, sizeof *g->relay_routes);
    if (!g->mux || !g->relay_routes)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    g->attempts = (attempts){.log = g->options.logger,
                             .meters = g->options.meters,
                             .mux = g->mux,
                             .is_logged = c->log.attempts,
                             .history = g->options.history};
    g->server = c->routes.count ? generation_make_server(g, error) : NULL;
    return g->server || !c->routes.count ? ASYNQ_OK : error->code;
}

generation *generation_prepare(const generation_options *options, const generation_source *from, asynq_error *error)
{
    generation *g = mem_calloc(1, sizeof *g);
    if (!g) {
        file_schedule_free(from->schedule);
        plugin_set_leave(from->plugins, options->errands);
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    }
    g->options = *options;
    g->config = config_hold(from->config);
    g->schedule = from->schedule;
    g->plugins = from->plugins;
    g->wound_up.fd = -1;
    g->server_source = (log_source){options->logger, "server"};
    pthread_mutex_init(&g->lock, NULL);
    thread_cond_init(&g->order_came);
    if (!prepare_server(g, error))
        return g;
    generation_free(g);
    return NULL;
}

int generation_start(generation **g, generation *previous, asynq_error *error)
{
    int status = generation_start_parts(*g, previous, error);
    if (status && !(*g)->has_winder) { /* there is nothing to wait for */
        generation_free(*g);
        *g = NULL;
    }
    return status;
}

static void release_capacities(generation *g)
{
    handler_host host = host_of(&g->options);
    for (size_t i = 0; g->relay_routes && i < g->config->routes.count; i++) {
        const relay_route *own = &g->relay_routes[i];
        if (own->capacity && own->route->kind->release)
            own->route->kind->release(&host, own->route);
    }
}

void generation_free(generation *g)
{
    if (!g)
        return;
    give_order(g, WINDER_LEAVE);
    if (g->has_winder)
        pthread_join(g->winder, NULL);
    file_schedule_free(g->schedule);
    asynq_server_free(g->server);
    release_capacities(g);
    restarts_free(g->restarts);
    asynq_mux_free(g->mux);
    plugin_set_leave(g->plugins, g->options.errands);
    mem_free(g->relay_routes);
    relay_free(g->relay);
    worker_set_unref(g->workers);
    loop_waker_clear(&g->wound_up);
    pthread_cond_destroy(&g->order_came);
    pthread_mutex_destroy(&g->lock);
    config_free(g->config);
    mem_free(g);
}

config *generation_config(const generation *g)
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
