/* See scaler.h. */
#include "daemon/scaler.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct scaler {
    observer_question question;
    observer *observer;
    config *config;
    config *next; /* for when the look that is under way has ended; NULL: none */
    size_t queues;
    loop_timer timer;
    bool is_asking;
    scale_sample sample; /* these two are the observer's while it is asking */
    asynq_error problem;
    asynq_error error; /* of the last look */
    scale_state state;
};

/* ---- looking ---- */

static void look_at_queue(asynq_inspector *inspector, const char *name, scale_queue *queue, asynq_error *error)
{
    asynq_queue_info info;
    int status = asynq_inspector_queue(inspector, name, &info, error);
    if (status == ASYNQ_E_NOT_FOUND)
        error->code = 0; /* nothing was ever in it */
    if (status)
        return;
    *queue = (scale_queue){.pending = info.pending,
                           .active = info.active,
                           .scheduled = info.scheduled,
                           .retry = info.retry,
                           .archived = info.archived,
                           .processed = info.processed_total,
                           .failed = info.failed_total,
                           .latency_ms = info.latency_ms};
}

/* One that is stopped takes no more tasks. */
static bool serves(const asynq_server_info *server, const config *c)
{
    if (strcmp(server->status, "active") != 0)
        return false;
    for (size_t i = 0; i < server->queue_count; i++)
        for (size_t k = 0; k < c->queues.count; k++)
            if (strcmp(server->queues[i].name, c->queues.items[k].name) == 0)
                return true;
    return false;
}

static void look(asynq_inspector *inspector, observer_question *question)
{
    scaler *s = (scaler *)question;
    asynq_server_list servers;
    memset(&s->sample, 0, sizeof s->sample);
    memset(&s->problem, 0, sizeof s->problem);
    s->sample.at_ms = clock_now_ns() / NS_PER_MS;
    for (size_t i = 0; i < s->queues && !s->problem.code; i++)
        look_at_queue(inspector, s->config->queues.items[i].name, &s->sample.queues[i], &s->problem);
    if (s->problem.code || asynq_inspector_servers(inspector, &servers, &s->problem))
        return;
    for (size_t i = 0; i < servers.count; i++)
        s->sample.workers += serves(&servers.servers[i], s->config);
    asynq_memory_free(servers.memory);
}

static void use(scaler *s, config *c)
{
    bool has_same_queues = s->config && setting_is_same(setting_find(config_table, "queues"), s->config, c);
    config_free(s->config);
    s->config = c;
    s->queues = c->queues.count < SCALE_MOST_QUEUES ? c->queues.count : SCALE_MOST_QUEUES;
    if (!has_same_queues)
        s->state.count = s->state.next = 0; /* the samples are of others */
}

void scaler_reconfigure(scaler *s, config *c)
{
    config_free(s->next);
    s->next = NULL;
    if (s->is_asking)
        s->next = config_hold(c);
    else
        use(s, config_hold(c));
}

static void looked(observer_question *question)
{
    scaler *s = (scaler *)question;
    s->is_asking = false;
    s->error = s->problem;
    config *next = s->next;
    s->next = NULL;
    if (next)
        use(s, next);
    else if (!s->error.code && s->sample.at_ms)
        scale_add(&s->state, &s->config->scale, &s->sample, s->queues, s->config->concurrency);
}

static void time_to_look(void *arg)
{
    scaler *s = arg;
    if (!s->is_asking) {
        s->is_asking = true;
        observer_ask(s->observer, &s->question);
    }
    loop_timer_set(&s->timer, s->config->scale.interval_ms);
}

/* ---- answering ---- */

static json_t *describe_queue(const scaler *s, size_t index)
{
    const scale_queue *queue = &scale_newest(&s->state)->queues[index];
    const scale_rates *rates = &s->state.rates[index];
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "queue", s->config->queues.items[index].name,
        "pending", (json_int_t)queue->pending, "active", (json_int_t)queue->active, "scheduled",
        (json_int_t)queue->scheduled, "retry", (json_int_t)queue->retry, "archived", (json_int_t)queue->archived,
        "latency_seconds", (double)queue->latency_ms / MS_PER_SECOND, "arrival_rate", rates->arrival, "service_rate",
        rates->service, "failure_rate", rates->failure, "run_seconds", rates->run_s, "slots_wanted", rates->slots);
}

void scaler_answer(scaler *s, endpoint_request *request)
{
    const scale_sample *newest = scale_newest(&s->state);
    if (!newest || s->error.code) {
        endpoint_reply_error(request, 503, "the queues are not known: %s",
                             s->error.code ? s->error.text : "the first look is under way");
        return;
    }
    json_t *queues = json_array();
    for (size_t i = 0; i < s->queues; i++)
        json_array_append_new(queues, describe_queue(s, i));
    json_t *document = json_pack(
        "{s:I, s:I, s:s, s:I, s:f, s:o}", "workers_wanted", (json_int_t)s->state.wanted, "workers",
        (json_int_t)newest->workers, "reason", s->state.reason, "concurrency", (json_int_t)s->config->concurrency,
        "age_seconds", (double)(clock_now_ns() / NS_PER_MS - newest->at_ms) / MS_PER_SECOND, "queues", queues);
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    endpoint_reply(request, text ? 200 : 503, "application/json", bytes_of(text ? text : "{}"));
    free(text);
    json_decref(document);
}

scaler *scaler_new(loop *l, observer *o, config *c)
{
    scaler *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->question = (observer_question){.ask = look, .done = looked};
    s->observer = o;
    use(s, config_hold(c));
    loop_timer_init(l, &s->timer, time_to_look, s);
    loop_timer_set(&s->timer, 0);
    return s;
}

void scaler_free(scaler *s)
{
    if (!s)
        return;
    loop_timer_cancel(&s->timer);
    config_free(s->next);
    config_free(s->config);
    mem_free(s);
}
