/* See work.h. */
#include "daemon/work.h"

#include "base/alloc.h"
#include "base/error.h"
#include "daemon/counters.h"
#include "event/timer.h"
#include "handler/resources.h"
#include "server/server.h"

#include <inttypes.h>
#include <string.h>
#include <utlist.h>

enum { SHARE_MS = 100, SOON_MS = 5 };

typedef struct member {
    generation *generation;
    struct member *prev, *next;
} member;

struct work {
    generation_options options;
    member *members; /* the newest is the current one */
    loop_timer share;
    asynq_server_stats gone; /* counts of those that have gone */
    bool has_ended;          /* the current one */
    counters *counters;
    bool is_paused;
    void (*done)(void *arg);
    void *arg;
};

static generation *current(const work *w)
{
    return w->members ? w->members->generation : NULL;
}

static void add_counts(const generation *g, asynq_server_stats *sum)
{
    asynq_server_stats stats;
    if (!generation_server(g))
        return;
    asynq_server_get_stats(generation_server(g), &stats);
    sum->running += stats.running;
    sum->commands += stats.commands;
    sum->leases_lost += stats.leases_lost;
    sum->tasks_recovered += stats.tasks_recovered;
}

int64_t work_running_before(const work *w)
{
    asynq_server_stats sum = {0};
    for (const member *one = w->members ? w->members->next : NULL; one; one = one->next)
        add_counts(one->generation, &sum);
    return sum.running;
}

void work_get_stats(const work *w, asynq_server_stats *stats)
{
    asynq_server_stats sum = w->gone;
    if (!work_server(w))
        return;
    asynq_server_get_stats(work_server(w), stats);
    for (const member *one = w->members; one; one = one->next)
        add_counts(one->generation, &sum);
    stats->running = sum.running;
    stats->commands = sum.commands;
    stats->leases_lost = sum.leases_lost;
    stats->tasks_recovered = sum.tasks_recovered;
}

/* ---- sharing the concurrency ---- */

static bool takes_tasks_before(const work *w)
{
    for (const member *one = w->members->next; one; one = one->next)
        if (generation_takes_tasks(one->generation))
            return true;
    return false;
}

/* The concurrency of the configuration, or what asynqd has the means for. */
static int64_t work_max(const work *w)
{
    int64_t limit = resources_limit(w->options.resources);
    return limit < work_config(w)->concurrency ? limit : work_config(w)->concurrency;
}

static void share(void *arg)
{
    work *w = arg;
    asynq_error error;
    if (!work_server(w))
        return;
    bool must_wait = takes_tasks_before(w);
    int64_t left = must_wait ? 0 : work_max(w) - work_running_before(w);
    if (asynq_server_set_concurrency(work_server(w), left > 0 ? (int)left : 0, &error))
        log_event(w->options.log, LOG_SERVER_FAILED, "%s", error.text);
    if (w->members->next)
        loop_timer_set(&w->share, must_wait ? SOON_MS : SHARE_MS);
}

/* ---- coming and going ---- */

/* What no generation counts any more is forgotten. */
static void sweep_counters(work *w)
{
    const member *one;
    size_t count = 0;
    DL_COUNT(w->members, one, count);
    config **live = mem_calloc(count + 1, sizeof *live);
    count = 0;
    if (live)
        DL_FOREACH(w->members, one)
            live[count++] = generation_config(one->generation);
    if (live)
        counters_sweep(w->counters, live, count);
    mem_free(live);
}

static void remove_member(work *w, generation *g)
{
    member *one;
    DL_FOREACH(w->members, one) {
        if (one->generation == g)
            break;
    }
    DL_DELETE(w->members, one);
    mem_free(one);
    add_counts(g, &w->gone);
    w->gone.running = 0;
    sweep_counters(w);
    generation_free(g);
}

/* The last one stays, for those who ask how it was. */
static void generation_ended(generation *g, void *arg)
{
    work *w = arg;
    if (g == current(w))
        w->has_ended = true;
    else
        remove_member(w, g);
    if (!w->done)
        share(w);
    else if (w->has_ended && !w->members->next)
        w->done(w->arg);
}

/* One that could not be started as a whole. It does not count, and its parts may need time to end. */
static void work_give_up(work *w, member *one)
{
    if (one->generation && w->members) {
        DL_APPEND(w->members, one);
        generation_retire(one->generation, true);
        return;
    }
    generation_free(one->generation);
    mem_free(one);
}

const generation_options *work_options(const work *w)
{
    return &w->options;
}

int work_start(work *w, generation *next, asynq_error *error)
{
    member *one = mem_calloc(1, sizeof *one);
    generation *before = current(w);
    if (!one) {
        generation_free(next);
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    one->generation = next;
    int status = generation_start(&one->generation, before, error);
    if (status) {
        work_give_up(w, one);
        return status;
    }
    DL_PREPEND(w->members, one);
    counters_begin(w->counters, generation_config(next));
    if (w->is_paused)
        work_pause(w);
    if (!before)
        return ASYNQ_OK;
    generation_retire(before, false);
    share(w);
    int64_t running = work_running_before(w);
    if (running)
        log_event(w->options.log, LOG_OLD_CONFIGURATION,
                  "%" PRId64 " tasks continue with the configuration with which they began", running);
    return ASYNQ_OK;
}

void work_stop(work *w, void (*done)(void *arg), void *arg)
{
    member *one;
    w->done = done;
    w->arg = arg;
    loop_timer_cancel(&w->share);
    DL_FOREACH(w->members, one)
        generation_retire(one->generation, true);
    if (!w->members)
        done(arg);
}

void work_hurry(work *w)
{
    member *one;
    DL_FOREACH(w->members, one)
        if (generation_server(one->generation))
            asynq_server_shutdown_now(generation_server(one->generation));
}

void work_pause(work *w)
{
    w->is_paused = true;
    if (work_server(w))
        server_stop_soon(work_server(w));
}

void work_share(work *w)
{
    share(w);
}

/* ---- the whole ---- */

work *work_new(const generation_options *options, asynq_error *error)
{
    work *w = mem_calloc(1, sizeof *w);
    if (!w)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    w->counters = counters_new(options->loop, options->meters, error);
    if (!w->counters) {
        mem_free(w);
        return NULL;
    }
    w->options = *options;
    w->options.ended = generation_ended;
    w->options.arg = w;
    loop_timer_init(options->loop, &w->share, share, w);
    return w;
}

void work_free(work *w)
{
    member *one, *next;
    if (!w)
        return;
    loop_timer_cancel(&w->share);
    DL_FOREACH_SAFE(w->members, one, next) {
        generation_free(one->generation);
        mem_free(one);
    }
    counters_free(w->counters);
    mem_free(w);
}

const config *work_config(const work *w)
{
    return generation_config(current(w));
}

config *work_hold_config(const work *w)
{
    return config_hold(generation_config(current(w)));
}

const handler_host *work_host(const work *w)
{
    return generation_host(current(w));
}

asynq_server *work_server(const work *w)
{
    return current(w) ? generation_server(current(w)) : NULL;
}
