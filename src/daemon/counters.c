/* See counters.h. */
#include "daemon/counters.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/error.h"
#include "base/name_set.h"
#include "daemon/meters.h"
#include "event/errands.h"
#include "server/patterns.h"

#include <asynq/server.h>
#include <string.h>

static const asynq_attempt_end counted_ends[] = {ASYNQ_ATTEMPT_COMPLETED, ASYNQ_ATTEMPT_RETRIED,
                                                 ASYNQ_ATTEMPT_ARCHIVED};
enum { COUNTED_ENDS = sizeof counted_ends / sizeof *counted_ends };

struct counters {
    metrics *meters;
    errands *thread;
};

/* What the thread does once. */
typedef struct counters_errand {
    errand errand;
    metrics *meters;
    size_t count;
    config *configs[]; /* held */
} counters_errand;

static counters_errand *errand_of(errand *one)
{
    return container_of(one, counters_errand, errand);
}

static void counters_done(errand *one)
{
    counters_errand *own = errand_of(one);
    for (size_t i = 0; i < own->count; i++)
        config_free(own->configs[i]);
    mem_free(own);
}

/* Without memory counters begin later, or stay longer. */
static void counters_send(counters *c, void (*run)(errand *one), config *const *configs, size_t count)
{
    counters_errand *own = mem_calloc(1, sizeof *own + count * sizeof *own->configs);
    if (!own)
        return;
    own->errand = (errand){.run = run, .done = counters_done};
    own->meters = c->meters;
    for (own->count = 0; own->count < count; own->count++)
        own->configs[own->count] = config_hold(configs[own->count]);
    if (!errands_send(c->thread, &own->errand))
        counters_done(&own->errand);
}

/* ---- the beginning ---- */

static void begin_pair(metrics *meters, const char *queue, const char *pattern)
{
    for (size_t i = 0; i < COUNTED_ENDS; i++)
        metrics_add(meters, METER_ATTEMPTS,
                    (const char *const[METRIC_MAX_LABELS]){queue, pattern, asynq_attempt_end_name(counted_ends[i])}, 0);
}

static size_t count_queues(const config *c)
{
    size_t count = 0;
    while (c->queue_list[count].name)
        count++;
    return count;
}

static void run_begin(errand *one)
{
    const counters_errand *own = errand_of(one);
    const config *c = own->configs[0];
    const route_list *routes = &c->routes;
    if (routes->count && count_queues(c) > METRIC_MAX_SERIES / 2 / COUNTED_ENDS / routes->count)
        return;
    for (size_t i = 0; i < routes->count; i++)
        for (const asynq_queue *queue = c->queue_list; queue->name; queue++)
            if (!pattern_is_one(queue->name)) /* the names that it has are not known */
                begin_pair(own->meters, queue->name, routes->items[i].type);
}

void counters_begin(counters *c, config *begun)
{
    counters_send(c, run_begin, &begun, 1);
}

/* ---- the end ---- */

/* The names of all live configurations. */
typedef struct live_names {
    name_set queues, routes; /* of the first also patterns */
    bool is_complete;        /* false: out of memory */
} live_names;

static void add_names(live_names *names, const config *c)
{
    for (const asynq_queue *queue = c->queue_list; queue->name; queue++)
        names->is_complete &= name_set_add(&names->queues, queue->name) != NULL;
    for (size_t i = 0; i < c->routes.count; i++)
        names->is_complete &= name_set_add(&names->routes, c->routes.items[i].type) != NULL;
}

static bool is_uncounted(const char *const *labels, void *arg)
{
    const live_names *names = arg;
    return !name_set_matches(&names->queues, labels[0]) || !name_set_find(&names->routes, labels[1]);
}

static void counters_run_sweep(errand *one)
{
    static const meter counted[] = {METER_ATTEMPTS, METER_FAILURES, METER_WAIT, METER_RUN};
    const counters_errand *own = errand_of(one);
    live_names names = {.is_complete = true};
    names.is_complete = name_set_add(&names.routes, COUNTERS_NO_ROUTE) != NULL;
    for (size_t i = 0; i < own->count; i++)
        add_names(&names, own->configs[i]);
    for (size_t i = 0; names.is_complete && i < sizeof counted / sizeof *counted; i++)
        metrics_forget(own->meters, counted[i], is_uncounted, &names);
    name_set_clear(&names.queues);
    name_set_clear(&names.routes);
}

void counters_sweep(counters *c, config *const *live, size_t count)
{
    counters_send(c, counters_run_sweep, live, count);
}

/* ---- making ---- */

counters *counters_new(loop *l, metrics *meters, asynq_error *error)
{
    counters *c = mem_calloc(1, sizeof *c);
    if (!c)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    c->meters = meters;
    c->thread = errands_new(l, error);
    if (c->thread)
        return c;
    mem_free(c);
    return NULL;
}

void counters_free(counters *c)
{
    if (!c)
        return;
    errands_free(c->thread);
    mem_free(c);
}
