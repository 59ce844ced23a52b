/* See scaler.h. */
#include "daemon/scaler.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/scale_store.h"
#include "wire/identity.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A turn outlives the next look by so much; then another asynqd takes it. Servers give the first sign of life some
 * seconds after the first sample has been taken; an answer without them would end them. */
enum { TURN_SPARE_MS = 10000, STALE_AFTER_MS = 60000, UNKNOWN_MS = 10000, MAX_WAITING = 100 };

/* Taking a sample, if it is our turn. */
typedef struct sampling {
    observer_question question;
    scaler *owner;
    config *config; /* NULL: none is under way */
    asynq_error error;
} sampling;

/* Reading them, for those who asked before it began. */
typedef struct reading {
    observer_question question;
    scaler *owner;
    config *config; /* NULL: none is under way */
    struct scale_waiter *waiters;
    char *text; /* the answer; NULL: see `error` */
    size_t ignored;
    const char *problem;
    asynq_error error;
} reading;

typedef struct scale_waiter {
    endpoint_request *request;
    struct scale_waiter *prev, *next;
} scale_waiter;

struct scaler {
    observer *observer;
    log_sink *log;
    log_limit trouble;
    bool has_told_ignored;
    config *config;
    identity identity; /* who has the turn */
    loop *loop;
    loop_timer timer;
    int64_t looked_at_ms; /* steady clock */
    sampling sampling;
    asynq_error last_sampling; /* how the last one ended */
    reading reading;
    scale_waiter *waiters; /* for the next reading */
    size_t waiter_count;
};

static int64_t interval_ms(const config *c)
{
    return scale_interval_ms(&c->scale, c->queues.count);
}

static int64_t keep_ms(const config *c)
{
    return c->scale.window_ms + c->scale.cooldown_ms + 2 * interval_ms(c);
}

static scale_history history_of(const config *c, const scale_sample *samples, size_t count)
{
    return (scale_history){&c->scale, c->concurrency, c->queues.count, samples, count};
}

/* ---- taking samples ---- */

/* With what is already there. */
static int scaler_take_sample(scale_store *store, const config *c, arena *memory, asynq_error *error)
{
    scale_sample *samples;
    size_t count;
    int status = scale_store_read(store, memory, &samples, &count, error);
    if (status)
        return status;
    if (count && store->now_ms - samples[count - 1].at_ms < interval_ms(c) / 2)
        return ASYNQ_OK; /* another one had the turn until now */
    status = scale_store_look(store, memory, &samples[count], error);
    if (status)
        return status;
    samples[count].since_ms = count ? samples[count - 1].since_ms : samples[count].at_ms;
    scale_history history = history_of(c, samples, count + 1);
    samples[count].room = scale_room(&history);
    return scale_store_add(store, &samples[count], error);
}

static void sample(asynq_inspector *inspector, observer_question *question)
{
    sampling *own = (sampling *)question;
    const config *c = own->config;
    scale_store store;
    arena memory;
    bool is_ours = false;
    error_clear(&own->error);
    arena_init(&memory, 0);
    int status = scale_store_open(&store, inspector, &c->queues, keep_ms(c), &own->error);
    if (!status)
        status = scale_store_take_turn(&store, own->owner->identity.id, interval_ms(c) + TURN_SPARE_MS, &is_ours,
                                       &own->error);
    if (!status && is_ours)
        status = scaler_take_sample(&store, c, &memory, &own->error);
    own->error.code = status;
    arena_clear(&memory);
    scale_store_close(&store);
}

static void sampled(observer_question *question)
{
    sampling *own = (sampling *)question;
    scaler *s = own->owner;
    config_free(own->config);
    own->config = NULL;
    s->last_sampling = own->error; /* which is the observer's thread's again with the next one */
    /* Others complain when Redis is away. */
    if (own->error.code && own->error.code != ASYNQ_E_UNAVAILABLE && own->error.code != ASYNQ_E_OUTCOME_UNKNOWN)
        log_event_repeated(s->log, &s->trouble, LOG_SCALE_SAMPLE_FAILED, "%s", own->error.text);
}

static void time_to_sample(void *arg)
{
    scaler *s = arg;
    sampling *own = &s->sampling;
    if (!own->config) {
        own->config = config_hold(s->config);
        if (!observer_ask(s->observer, &own->question)) {
            config_free(own->config);
            own->config = NULL;
        }
    }
    s->looked_at_ms = loop_steady_ms(s->loop);
    loop_timer_set(&s->timer, interval_ms(s->config));
}

/* ---- answering ---- */

static json_t *scaler_describe_queue(const char *name, const scale_queue *queue, const scale_rates *rates)
{
    return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "queue", name, "paused",
                     queue->is_paused, "pending", (json_int_t)queue->pending, "active", (json_int_t)queue->active,
                     "scheduled", (json_int_t)queue->scheduled, "retry", (json_int_t)queue->retry, "archived",
                     (json_int_t)queue->archived, "latency_seconds", (double)queue->latency_ms / MS_PER_SECOND,
                     "arrival_rate", rates->arrival, "service_rate", rates->service, "failure_rate", rates->failure,
                     "duration_seconds", rates->run_s, "slots_wanted", rates->slots);
}

static char *scaler_describe(const config *c, const scale_history *history, scale_rates *rates, int64_t now_ms)
{
    const scale_sample *newest = &history->samples[history->count - 1];
    scale_advice advice = scale_decide(history, rates);
    json_t *queues = json_array();
    for (size_t i = 0; i < history->queues; i++)
        json_array_append_new(queues, scaler_describe_queue(c->queues.items[i].name, &newest->queues[i], &rates[i]));
    json_t *document =
        json_pack("{s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:f, s:o}", "instances_wanted", (json_int_t)advice.wanted,
                  "instances", (json_int_t)newest->instances, "reason", scale_reason_name(advice.reason), "explanation",
                  scale_reason_text(advice.reason), "concurrency", (json_int_t)c->concurrency, "tasks_per_instance",
                  (json_int_t)advice.tasks_per_instance, "sampled_at_ms", (json_int_t)newest->at_ms, "age_seconds",
                  (double)(now_ms - newest->at_ms) / MS_PER_SECOND, "queues", queues);
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(document);
    return text;
}

static int read_samples(reading *own, scale_store *store, arena *memory)
{
    const config *c = own->config;
    scale_sample *samples;
    size_t count;
    int64_t stale_ms = 3 * interval_ms(c) + TURN_SPARE_MS;
    int status = scale_store_read(store, memory, &samples, &count, &own->error);
    if (status)
        return status;
    if (!count)
        return error_set(&own->error, ASYNQ_E_NOT_FOUND, "no sample has been taken yet");
    stale_ms = stale_ms > STALE_AFTER_MS ? stale_ms : STALE_AFTER_MS;
    if (store->now_ms - samples[count - 1].at_ms > stale_ms)
        return error_set(&own->error, ASYNQ_E_NOT_FOUND, "nobody has taken a sample for %" PRId64 " s",
                         (store->now_ms - samples[count - 1].at_ms) / MS_PER_SECOND);
    if (store->now_ms - samples[count - 1].since_ms < UNKNOWN_MS)
        return error_set(&own->error, ASYNQ_E_NOT_FOUND,
                         "the first samples are being taken; ask again in %" PRId64 " s", UNKNOWN_MS / MS_PER_SECOND);
    scale_history history = history_of(c, samples, count);
    scale_rates *rates = arena_alloc(memory, (c->queues.count + 1) * sizeof *rates);
    own->text = rates ? scaler_describe(c, &history, rates, store->now_ms) : NULL;
    return own->text ? ASYNQ_OK : error_set_code(&own->error, ASYNQ_E_NO_MEMORY);
}

static void scaler_read_all(asynq_inspector *inspector, observer_question *question)
{
    reading *own = (reading *)question;
    scale_store store;
    arena memory;
    own->text = NULL;
    arena_init(&memory, 0);
    if (!scale_store_open(&store, inspector, &own->config->queues, keep_ms(own->config), &own->error) &&
        !read_samples(own, &store, &memory))
        error_clear(&own->error);
    own->ignored = store.ignored;
    own->problem = store.problem;
    arena_clear(&memory);
    scale_store_close(&store);
}

static void tell_ignored(scaler *s, const reading *own)
{
    if (own->ignored && !s->has_told_ignored)
        log_event(s->log, LOG_SCALE_SAMPLES_IGNORED, "%zu samples in Redis, which asynqd did not write: %s",
                  own->ignored, own->problem);
    s->has_told_ignored = own->ignored > 0;
}

/* Why there is no answer. What keeps us from taking samples explains best why there is none. */
static const char *why_unknown(const scaler *s, const asynq_error *error)
{
    return error->code == ASYNQ_E_NOT_FOUND && s->last_sampling.code ? s->last_sampling.text : error->text;
}

static void begin_reading(scaler *s)
{
    reading *own = &s->reading;
    if (own->config || !s->waiters)
        return;
    own->config = config_hold(s->config);
    if (observer_ask(s->observer, &own->question)) {
        own->waiters = s->waiters;
        s->waiters = NULL;
        s->waiter_count = 0;
    } else {
        config_free(own->config);
        own->config = NULL;
    }
}

static void have_read(observer_question *question)
{
    reading *own = (reading *)question;
    scaler *s = own->owner;
    scale_waiter *one, *next; /* at the end of asynqd without having been read: nobody is there to hear it */
    tell_ignored(s, own);
    DL_FOREACH_SAFE(own->waiters, one, next) {
        if (own->text)
            endpoint_reply(one->request, 200, "application/json", bytes_of(own->text));
        else
            endpoint_reply_error(one->request, 503, "the queues are not known: %s", why_unknown(s, &own->error));
        mem_free(one);
    }
    free(own->text);
    config_free(own->config);
    own->text = NULL;
    own->waiters = NULL;
    own->config = NULL;
    begin_reading(s);
}

void scaler_answer(scaler *s, endpoint_request *request)
{
    scale_waiter *one = s->waiter_count < MAX_WAITING ? mem_calloc(1, sizeof *one) : NULL;
    if (!one) {
        endpoint_reply_error(request, 503, "the queues are not known: too many ask at the same time");
        return;
    }
    one->request = request;
    DL_APPEND(s->waiters, one);
    s->waiter_count++;
    begin_reading(s);
}

/* ---- the whole ---- */

static void tell_interval(const scaler *s, const config *c)
{
    int64_t ms = interval_ms(c);
    if (ms > c->scale.interval_ms)
        log_event(s->log, LOG_SCALE_INTERVAL,
                  "with %zu queues a sample is taken every %.1f s instead of scale.interval, so that scale.window and "
                  "scale.cooldown are covered",
                  c->queues.count, (double)ms / MS_PER_SECOND);
}

/* However often it is called, samples are taken in time. */
void scaler_reconfigure(scaler *s, config *c)
{
    if (interval_ms(c) != interval_ms(s->config))
        tell_interval(s, c);
    config_free(s->config);
    s->config = config_hold(c);
    loop_timer_set(&s->timer, s->looked_at_ms + interval_ms(c) - loop_steady_ms(s->loop));
}

scaler *scaler_new(loop *l, observer *o, log_sink *log, config *c)
{
    scaler *s = mem_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    if (identity_make(&s->identity)) {
        mem_free(s);
        return NULL;
    }
    s->observer = o;
    s->log = log;
    s->loop = l;
    s->config = config_hold(c);
    tell_interval(s, c);
    s->sampling = (sampling){.question = {.ask = sample, .done = sampled}, .owner = s};
    s->reading = (reading){.question = {.ask = scaler_read_all, .done = have_read}, .owner = s};
    loop_timer_init(l, &s->timer, time_to_sample, s);
    loop_timer_set(&s->timer, 0);
    return s;
}

void scaler_free(scaler *s)
{
    scale_waiter *one, *next;
    if (!s)
        return;
    loop_timer_cancel(&s->timer);
    DL_FOREACH_SAFE(s->waiters, one, next) {
        endpoint_reply_error(one->request, 503, "asynqd is stopping");
        mem_free(one);
    }
    identity_clear(&s->identity);
    config_free(s->config);
    mem_free(s);
}
