/* See endpoints.h. */
#include "daemon/endpoints.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/api.h"
#include "daemon/meters.h"
#include "daemon/observer.h"
#include "daemon/scaler.h"
#include "daemon/service.h"
#include "daemon/usage.h"
#include "http/http_client.h"
#include "metrics/connections.h"
#include "metrics/endpoint.h"

#include <asynq/version.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BEAT_WITHIN_MS = 10000, MAX_SCRAPES = 8 };

struct endpoints {
    endpoints_options options;
    endpoint *server;
    observer *observer;
    api *api;
    scaler *scaler;
    int64_t started_at_ms; /* Unix */
    size_t scrapes;        /* that wait for Redis */
    bool is_stopping;
};

/* ---- health ---- */

static void answer_health(endpoint_request *request, void *arg)
{
    const endpoints *e = arg;
    static const char alive[] = "{\"status\":\"alive\"}\n",
                      stuck[] = "{\"status\":\"stuck\",\"error\":\"the loop that holds the leases stands still; asynqd "
                                "should be ended\"}\n";
    if (liveness_is_alive(e->options.liveness))
        endpoint_reply(request, 200, "application/json", bytes_of(alive));
    else
        endpoint_reply(request, 503, "application/json", bytes_of(stuck));
}

/* NULL: fine. */
static const char *why_redis_is_not_ready(const endpoints *e, const asynq_server_stats *stats)
{
    int64_t now_ms = clock_now_ns() / NS_PER_MS;
    if (!stats->is_connected)
        return "there is no connection with Redis";
    if (!stats->last_heartbeat_ms)
        return now_ms - e->started_at_ms < FIRST_BEAT_WITHIN_MS ? NULL : "Redis has never had this server's records";
    return now_ms - stats->last_heartbeat_ms > work_config(e->options.work)->endpoints.readiness_max_heartbeat_age_ms
               ? "Redis has not had this server's records and leases lately"
               : NULL;
}

static const char *why_server_is_not_ready(const endpoints *e, const asynq_server_stats *stats)
{
    if (e->is_stopping)
        return "asynqd is stopping";
    return !work_server(e->options.work) || stats->is_fetching ? NULL : "no new tasks are taken";
}

static worker_pools *pools_of(const endpoints *e)
{
    const handler_host *host = work_host(e->options.work);
    return host ? host->workers : NULL;
}

/* The first pool that has not all its processes. NULL: fine. `text` holds 256 bytes. */
static const char *why_pools_are_small(const endpoints *e, char *text)
{
    const worker_pools *pools = pools_of(e);
    for (size_t i = 0; pools && i < worker_pools_count(pools); i++) {
        worker_pool_state state = worker_pools_state(pools, i);
        if (state.ready >= state.size)
            continue;
        snprintf(text, 256, "the pool %.100s has %zu of %zu processes; if it stays so, the log says why", state.name,
                 state.ready, state.size);
        return text;
    }
    return NULL;
}

/* A part of the answer. True if it is fine. */
static bool add_check(json_t *checks, const char *name, const char *problem)
{
    json_object_set_new(checks, name, json_string(problem ? problem : "ok"));
    return !problem;
}

static void answer_ready(endpoint_request *request, void *arg)
{
    endpoints *e = arg;
    char small[256];
    asynq_server_stats stats;
    work_get_stats(e->options.work, &stats);
    json_t *checks = json_object();
    bool is_ready = add_check(checks, "redis", work_server(e->options.work) ? why_redis_is_not_ready(e, &stats) : NULL);
    is_ready &= add_check(checks, "tasks", why_server_is_not_ready(e, &stats));
    if (pools_of(e) && worker_pools_count(pools_of(e))) /* told, as other routes work */
        add_check(checks, "workers", why_pools_are_small(e, small));
    add_check(checks, "resources", resources_problem(e->options.resources));
    is_ready &= !resources_are_paused(e->options.resources);
    if (e->options.database) /* told, but tasks and the API do not wait for it */
        add_check(checks, "postgresql", database_get_state(e->options.database).problem);
    json_t *document = json_pack("{s:s, s:o}", "status", is_ready ? "ready" : "not ready", "checks", checks);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    endpoint_reply(request, is_ready ? 200 : 503, "application/json", bytes_of(text ? text : "{}"));
    free(text);
    json_decref(document);
}

/* ---- metrics ---- */

static void endpoints_set(metrics *m, meter which, double value)
{
    static const char *const none[METRIC_MAX_LABELS] = {0};
    metrics_set(m, which, none, value);
}

static void measure_server(endpoints *e)
{
    metrics *m = e->options.meters;
    asynq_server_stats stats;
    if (!work_server(e->options.work))
        return;
    work_get_stats(e->options.work, &stats);
    endpoints_set(m, METER_RUNNING, (double)stats.running);
    endpoints_set(m, METER_CONCURRENCY, (double)work_config(e->options.work)->concurrency);
    endpoints_set(m, METER_REDIS_UP, stats.is_connected);
    endpoints_set(m, METER_REDIS_COMMANDS, (double)stats.commands);
    endpoints_set(m, METER_LEASES_LOST, (double)stats.leases_lost);
    endpoints_set(m, METER_TASKS_RECOVERED, (double)stats.tasks_recovered);
}

static void measure_workers(endpoints *e)
{
    metrics *m = e->options.meters;
    const worker_pools *pools = pools_of(e);
    for (size_t i = 0; pools && i < worker_pools_count(pools); i++) {
        worker_pool_state state = worker_pools_state(pools, i);
        metrics_set(m, METER_WORKERS_SIZE, &state.name, (double)state.size);
        metrics_set(m, METER_WORKERS, (const char *const[]){state.name, "ready"}, (double)state.ready);
        metrics_set(m, METER_WORKERS, (const char *const[]){state.name, "not_ready"},
                    (double)(state.processes - state.ready));
        metrics_set(m, METER_WORKERS_WAITING, &state.name, (double)state.waiting);
        metrics_set(m, METER_WORKERS_STARTED, &state.name, (double)state.started);
        metrics_set(m, METER_WORKERS_CRASHED, &state.name, (double)state.crashed);
        metrics_set(m, METER_WORKERS_CPU, &state.name, state.cpu_s);
        metrics_set(m, METER_WORKERS_RESIDENT, &state.name, (double)state.resident_bytes);
    }
}

static void measure_http(endpoints *e)
{
    metrics *m = e->options.meters;
    const handler_host *host = work_host(e->options.work);
    static const char *const in_flight = "in_flight", *const queued = "queued";
    if (!host)
        return;
    metrics_set(m, METER_HTTP_CALLS, &in_flight, (double)http_client_running(host->http));
    metrics_set(m, METER_HTTP_CALLS, &queued, (double)http_client_waiting(host->http));
}

static void measure_history(metrics *m, history *h)
{
    static const char *const refused = "refused";
    history_stats stats;
    history_get_stats(h, &stats);
    endpoints_set(m, METER_HISTORY_WRITTEN, (double)stats.written);
    for (int i = 0; i < SPOOL_LOSSES; i++) {
        const char *const reason = spool_loss_name((spool_loss)i);
        metrics_set(m, METER_HISTORY_LOST, &reason, (double)stats.spool.lost[i]);
    }
    metrics_set(m, METER_HISTORY_LOST, &refused, (double)stats.refused);
    endpoints_set(m, METER_SPOOL_BYTES, (double)stats.spool.bytes);
    endpoints_set(m, METER_SPOOL_ROWS, (double)stats.spool.lines);
}

static void measure_jobs(metrics *m, jobs *j)
{
    static const char *const valid = "valid", *const invalid = "invalid";
    jobs_stats stats;
    jobs_get_stats(j, &stats);
    metrics_set(m, METER_JOBS, &valid, (double)(stats.enabled - stats.broken));
    metrics_set(m, METER_JOBS, &invalid, (double)stats.broken);
}

static void measure_database(endpoints *e)
{
    database *d = e->options.database;
    if (!d)
        return;
    endpoints_set(e->options.meters, METER_POSTGRES_UP, database_get_state(d).is_ready);
    if (database_history(d))
        measure_history(e->options.meters, database_history(d));
    if (database_jobs(d))
        measure_jobs(e->options.meters, database_jobs(d));
}

/* What is measured at each scrape; what a reload has removed is not measured any more, and must go. */
static void forget_measured(metrics *m)
{
    static const meter measured[] = {
        METER_RUNNING,         METER_CONCURRENCY,      METER_REDIS_UP,        METER_WORKERS_SIZE,
        METER_WORKERS,         METER_WORKERS_WAITING,  METER_WORKERS_STARTED, METER_WORKERS_CRASHED,
        METER_WORKERS_CPU,     METER_WORKERS_RESIDENT, METER_HTTP_CALLS,      METER_PROCESS_RESIDENT,
        METER_PROCESS_VIRTUAL, METER_PROCESS_FILES,    METER_POSTGRES_UP,     METER_JOBS,
    };
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++)
        metrics_clear(m, measured[i]);
}

static void endpoints_measure(endpoints *e, usage *used)
{
    static const char *const version = ASYNQ_VERSION;
    forget_measured(e->options.meters);
    usage_end(used, pools_of(e), e->options.meters);
    measure_server(e);
    measure_workers(e);
    measure_http(e);
    measure_database(e);
    endpoints_set(e->options.meters, METER_LOG_DROPPED, (double)logger_dropped(e->options.logger));
    metrics_set(e->options.meters, METER_INFO, &version, 1);
}

/*
 * A scrape: the observer's thread asks Redis for the queues and /proc for processes, the loop measures what is ours,
 * and the thread writes the page, which may be long.
 */
typedef struct scrape {
    observer_question question;
    endpoints *owner;
    endpoint_request *request;
    usage *usage;
    buf queues, page;
    asynq_error error;
} scrape;

static void ask_for_queues(asynq_inspector *inspector, observer_question *question)
{
    scrape *own = (scrape *)question;
    asynq_text text;
    if (own->usage)
        usage_read(own->usage);
    if (asynq_inspector_metrics(inspector, &text, &own->error))
        return;
    buf_append(&own->queues, text.text, text.length);
    asynq_text_free(&text);
}

static void write_page(asynq_inspector *inspector, observer_question *question)
{
    (void)inspector;
    scrape *own = (scrape *)question;
    metrics_append(own->owner->options.meters, &own->page);
    buf_append(&own->page, own->queues.data, own->queues.length);
    if (own->error.code)
        buf_append_text(&own->page, "# The queues are missing, as Redis cannot be asked.\n");
}

static void scrape_free(scrape *own)
{
    buf_clear(&own->queues);
    buf_clear(&own->page);
    mem_free(own);
}

static void answer_scrape(observer_question *question)
{
    scrape *own = (scrape *)question;
    own->owner->scrapes--;
    if (own->page.length)
        endpoint_reply_buf(own->request, 200, "text/plain; version=0.0.4; charset=utf-8", &own->page);
    else
        endpoint_reply_error(own->request, 503, "out of memory");
    scrape_free(own);
}

static void measure_scrape(observer_question *question)
{
    scrape *own = (scrape *)question;
    endpoints_measure(own->owner, own->usage);
    *question = (observer_question){.ask = write_page, .done = answer_scrape};
    if (!observer_ask(own->owner->observer, question))
        answer_scrape(question);
}

static void answer_metrics(endpoint_request *request, void *arg)
{
    endpoints *e = arg;
    if (e->scrapes >= MAX_SCRAPES) {
        endpoint_reply_error(request, 503, "%d requests for metrics wait for Redis already", MAX_SCRAPES);
        return;
    }
    scrape *own = mem_calloc(1, sizeof *own);
    if (!own) {
        endpoint_reply_error(request, 503, "out of memory");
        return;
    }
    *own = (scrape){.question = {.ask = ask_for_queues, .done = measure_scrape},
                    .owner = e,
                    .request = request,
                    .usage = usage_begin(pools_of(e))};
    buf_init(&own->queues, 0);
    buf_init(&own->page, 0);
    if (observer_ask(e->observer, &own->question)) {
        e->scrapes++;
        return;
    }
    usage_end(own->usage, NULL, e->options.meters);
    scrape_free(own);
    endpoint_reply_error(request, 503, "asynqd is stopping");
}

/* ---- scaling and tasks ---- */

static void answer_scale(endpoint_request *request, void *arg)
{
    endpoints *e = arg;
    scaler_answer(e->scaler, request);
}

static void answer_tasks(endpoint_request *request, void *arg)
{
    endpoints *e = arg;
    api_post_tasks(e->api, request);
}

/* ---- the whole ---- */

static const endpoint_route routes[] = {
    {"GET", "/healthz", ENDPOINT_OPEN, answer_health},     {"GET", "/readyz", ENDPOINT_OPEN, answer_ready},
    {"GET", "/metrics", ENDPOINT_READING, answer_metrics}, {"GET", "/scale", ENDPOINT_READING, answer_scale},
    {"POST", "/v1/tasks", ENDPOINT_WRITING, answer_tasks}, {0},
};

static int listen_as_told(endpoints *e, asynq_error *error)
{
    const config *c = e->options.config;
    e->server = endpoint_start(&(endpoint_options){.loop = e->options.loop,
                                                   .listen = c->endpoints.listen,
                                                   .socket = service_socket(),
                                                   .token = c->endpoints.token,
                                                   .cert_file = c->endpoints.cert_file,
                                                   .key_file = c->endpoints.key_file,
                                                   .max_body = c->endpoints.max_body,
                                                   .max_connections = c->endpoints.max_connections
                                                                          ? (size_t)c->endpoints.max_connections
                                                                          : connections_default_max(),
                                                   .request_within_ms = c->endpoints.request_within_ms,
                                                   .log = e->options.log,
                                                   .routes = routes,
                                                   .arg = e},
                               error);
    if (e->server)
        log_event(e->options.log, LOG_ENDPOINTS_READY, "health, metrics and the API are at %s://%s, port %d",
                  c->endpoints.cert_file ? "https" : "http", c->endpoints.listen, endpoint_port(e->server));
    return e->server ? ASYNQ_OK : error->code;
}

endpoints *endpoints_start(const endpoints_options *options, asynq_error *error)
{
    config *c = options->config;
    endpoints *e = mem_calloc(1, sizeof *e);
    error_clear(error);
    if (!e)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    e->options = *options;
    e->started_at_ms = clock_now_ns() / NS_PER_MS;
    if (!*c->endpoints.listen) {
        mem_free(e);
        return NULL;
    }
    e->observer = observer_new(options->loop, c->redis_uri, c->prefix, error);
    e->api =
        e->observer
            ? api_new(&(api_options){options->loop, c, options->meters, e->observer, options->work, options->routes},
                      error)
            : NULL;
    e->scaler = e->api ? scaler_new(options->loop, e->observer, options->log, c) : NULL;
    if (e->api && !e->scaler)
        error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (e->scaler && !listen_as_told(e, error))
        return e;
    if (e->scaler && !option_set_is_given(c->source, &c->endpoints.listen)) {
        log_event(options->log, LOG_ENDPOINTS_FAILED, "%s; endpoints.listen can name another place", error->text);
        error_clear(error);
    }
    endpoints_free(e);
    return NULL;
}

void endpoints_reconfigure(endpoints *e, config *c)
{
    scaler_reconfigure(e->scaler, c);
    endpoint_renew_tls(e->server);
}

void endpoints_announce_stop(endpoints *e)
{
    e->is_stopping = true;
}

void endpoints_free(endpoints *e)
{
    if (!e)
        return;
    endpoint_free(e->server); /* first: what is answered from now on goes nowhere */
    observer_free(e->observer);
    scaler_free(e->scaler);
    api_free(e->api);
    mem_free(e);
}
