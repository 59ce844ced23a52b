/* See reload.h. */
#include "daemon/reload.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/error.h"
#include "base/text.h"
#include "daemon/file_schedule.h"
#include "event/errands.h"

#include <string.h>

struct reload {
    reload_options options;
    generation_options generations; /* a copy, as the thread may still read it when the work is freed */
    errand read, start, discard;
    config *fresh; /* the thread's, while it reads */
    bool is_valid;
    generation *prepared, *discarded;
    asynq_error error;       /* of `prepared` */
    bool is_busy, is_wanted; /* under way; once more */
    bool has_ended;
};

/* ---- taking over ---- */

static void tell_restart(void *log, const char *path)
{
    log_event(log, LOG_RESTART_REQUIRED, "%s changed", path);
}

static void tell_mistake(void *log, const char *line, size_t length)
{
    log_event(log, LOG_CONFIG_INVALID, "%.*s", (int)length, line);
}

/* What became of it is told in any case. */
static bool is_useful(const reload *r, const config *fresh, bool is_valid)
{
    log_sink *log = r->options.log;
    if (!fresh) {
        log_event(log, LOG_RELOAD_FAILED, "out of memory; keeping the current configuration");
    } else if (!is_valid) {
        const char *mistakes = option_set_complaints(fresh->source);
        text_each_line(mistakes, mistakes ? strlen(mistakes) : 0, tell_mistake, log);
        log_event(log, LOG_RELOAD_FAILED, "the new configuration is invalid; keeping the current one");
    } else if (!fresh->routes.count && work_config(r->options.work)->routes.count) {
        log_event(log, LOG_RELOAD_FAILED,
                  "the new configuration has no routes, so that no task would be run; keeping the current one (the "
                  "signal TSTP stops fetching)");
    } else {
        return true;
    }
    return false;
}

static void take_over(reload *r, config *fresh, generation *prepared)
{
    const reload_options *o = &r->options;
    asynq_error error;
    char status[128];
    if (work_start(o->work, prepared, &error)) {
        log_event(o->log, LOG_RELOAD_FAILED, "%s; keeping the current configuration", error.text);
        return;
    }
    logger_set_level(o->logger, config_log_level(fresh));
    if (!route_lookup_set(o->routes, &fresh->routes))
        log_event(o->log, LOG_RELOAD_FAILED, "out of memory; keeping the current defaults of routes");
    if (o->endpoints)
        endpoints_reconfigure(o->endpoints, fresh);
    config_describe(fresh, status, sizeof status);
    log_event(o->log, LOG_RELOADED, "%s", status);
    config_tell_doubts(fresh, o->log);
}

static void tell_over(reload *r)
{
    char status[128];
    config_describe(work_config(r->options.work), status, sizeof status);
    service_ready(r->options.service, status);
}

/* ---- its steps ---- */

static void run_discard(errand *one)
{
    reload *r = container_of(one, reload, discard);
    generation_free(r->discarded);
    r->discarded = NULL;
}

static void discard_done(errand *one)
{
    run_discard(one); /* if it was not run */
}

/* It ends by the thread, as it may wait for Redis, and for whatever a plug-in does. */
static void discard_prepared(reload *r, generation *prepared)
{
    r->discarded = prepared;
    r->discard = (errand){.run = run_discard, .done = discard_done};
    if (prepared && !errands_send(r->options.errands, &r->discard))
        run_discard(&r->discard);
}

/* What was asked for meanwhile counts: this may be half of what there is now. */
static bool reload_is_outdated(const reload *r)
{
    return r->has_ended || r->is_wanted;
}

static void reload_read(reload *r);

static void reload_done(reload *r, generation *prepared, bool is_taken)
{
    config *fresh = r->fresh;
    bool is_wanted = r->is_wanted;
    r->fresh = NULL;
    r->is_busy = r->is_wanted = false;
    if (is_taken)
        take_over(r, fresh, prepared);
    else
        discard_prepared(r, prepared);
    config_free(fresh);
    if (r->has_ended)
        return;
    if (is_wanted)
        reload_read(r);
    else
        tell_over(r);
}

static void run_start(errand *one)
{
    reload *r = container_of(one, reload, start);
    generation_source from = {.config = r->fresh};
    if (r->fresh->schedule.file && !(from.schedule = file_schedule_start(r->fresh, r->options.logger, &r->error)))
        return;
    from.plugins = plugin_set_load(&r->fresh->routes, &r->error);
    if (from.plugins)
        r->prepared = generation_prepare(&r->generations, &from, &r->error);
    else
        file_schedule_free(from.schedule);
}

static void start_done(errand *one)
{
    reload *r = container_of(one, reload, start);
    generation *prepared = r->prepared;
    r->prepared = NULL;
    if (!prepared && !reload_is_outdated(r))
        log_event(r->options.log, LOG_RELOAD_FAILED, "%s; keeping the current configuration", r->error.text);
    reload_done(r, prepared, prepared && !reload_is_outdated(r));
}

static void reload_run_read(errand *one)
{
    reload *r = container_of(one, reload, read);
    r->fresh = config_load(r->options.sources, &r->is_valid);
}

static void reload_read_done(errand *one)
{
    reload *r = container_of(one, reload, read);
    if (r->fresh)
        r->fresh->errands = r->options.errands;
    bool is_taken = !reload_is_outdated(r) && is_useful(r, r->fresh, r->is_valid);
    if (is_taken)
        config_keep(r->fresh, r->options.first, tell_restart, r->options.log);
    r->start = (errand){.run = run_start, .done = start_done};
    if (!is_taken || !errands_send(r->options.errands, &r->start))
        reload_done(r, NULL, false);
}

static void reload_read(reload *r)
{
    r->read = (errand){.run = reload_run_read, .done = reload_read_done};
    r->is_busy = errands_send(r->options.errands, &r->read);
}

/* ---- the whole ---- */

void reload_begin(reload *r)
{
    if (r->has_ended)
        return;
    service_reloading();
    r->is_wanted = r->is_busy;
    if (!r->is_busy)
        reload_read(r);
    else
        log_event(r->options.log, LOG_RELOAD_PENDING,
                  "a reload is under way, for which files and plugins may take long; another one follows");
}

void reload_end(reload *r)
{
    if (r)
        r->has_ended = true;
}

reload *reload_new(const reload_options *options)
{
    reload *r = mem_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->options = *options;
    r->generations = *work_options(options->work);
    return r;
}

void reload_free(reload *r)
{
    mem_free(r);
}
