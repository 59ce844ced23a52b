/* Making, starting and ending a scheduler. */
#include "schedule/scheduler.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/signals.h"
#include "schedule/registry.h"
#include "schedule/zone.h"

enum {
    DEFAULT_SHUTDOWN_MS = 5000,
    DEFAULT_HEARTBEAT_MS = 10000,
    DEFAULT_SYNC_MS = 180000,
    DEFAULT_FILE_SYNC_MS = 1000
};

#define SCHEDULER_DEFAULT_URI "redis://127.0.0.1:6379"

void scheduler_complain(asynq_scheduler *scheduler, const char *what, const asynq_error *error)
{
    if (!redis_error_is_passing(error->code))
        log_event_repeated(&scheduler->log, &scheduler->complaint, LOG_SCHEDULER_CALL, "cannot %s: %s", what,
                           error->text);
}

/* ---- a turn of the thread ---- */

static void scheduler_begin_stop(asynq_scheduler *scheduler)
{
    scheduler->stopping = true;
    loop_timer_cancel(&scheduler->due);
    loop_timer_cancel(&scheduler->hold);
    loop_timer_cancel(&scheduler->show);
    loop_timer_set(&scheduler->stop_limit, scheduler->options.shutdown_timeout_ms);
}

static void scheduler_turn(void *arg)
{
    asynq_scheduler *scheduler = arg;
    pthread_mutex_lock(&scheduler->lock);
    bool stop = scheduler->stop_asked; /* after this no entry comes */
    pthread_mutex_unlock(&scheduler->lock);

    registry_take_changes(scheduler);
    if (stop && !scheduler->stopping)
        scheduler_begin_stop(scheduler);
    if (scheduler->stopping) {
        scheduler_advance_stop(scheduler);
        return;
    }
    loop_timer_set(&scheduler->hold, 0);
    showing_soon(scheduler);
    firing_pump(scheduler);
}

/* ---- the connection ---- */

static void scheduler_resumed(void *arg)
{
    asynq_scheduler *scheduler = arg;
    if (scheduler->stopping)
        return;
    for (scheduler_queue *queue = scheduler->queues; queue; queue = queue->next)
        queue_publish_anew(&queue->publication);
    loop_timer_set(&scheduler->hold, 0);
    showing_soon(scheduler);
}

/* For asynq_scheduler_ping(); NULL: there is a connection. */
static void scheduler_note_connection(asynq_scheduler *scheduler, const asynq_error *error)
{
    pthread_mutex_lock(&scheduler->lock);
    scheduler->connection_error = error ? *error : (asynq_error){0};
    pthread_mutex_unlock(&scheduler->lock);
}

static void scheduler_ready(void *arg, redis_node *node)
{
    (void)node;
    scheduler_note_connection(arg, NULL);
    scheduler_resumed(arg);
}

static void scheduler_down(void *arg, redis_node *node, const asynq_error *error)
{
    (void)node;
    asynq_scheduler *scheduler = arg;
    scheduler_note_connection(scheduler, error); /* logged by the connection */
    holding_lost(scheduler);
}

/* ---- the end ---- */

static void scheduler_end(void *arg)
{
    asynq_scheduler *scheduler = arg;
    loop_timer_cancel(&scheduler->stop_limit);
    scheduler->broker.nodes = NULL;
    engine_stop(&scheduler->engine);
}

static void cleared_one(asynq_scheduler *scheduler)
{
    if (--scheduler->clearing == 0 && scheduler->broker.nodes)
        scheduler_end(scheduler);
}

static void list_cleared(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)status, (void)error, (void)reply; /* else it ends by itself */
    cleared_one(arg);
}

/* The ids of independent entries end with us. */
static void drop_histories(asynq_scheduler *scheduler)
{
    FOR_EACH_ENTRY(scheduler, queue, entry) {
        if (broker_drop_history(&scheduler->broker, bytes_of(entry->id), NULL, NULL))
            return; /* they end by themselves */
    }
}

/* Waits for ticks under way; then takes back what we have in Redis; then ends. */
void scheduler_advance_stop(asynq_scheduler *scheduler)
{
    if (scheduler->firing || scheduler->cleared || !scheduler->broker.nodes)
        return;
    scheduler->cleared = true;
    scheduler->clearing = 1; /* for this function */
    if (broker_is_ready(&scheduler->broker)) {
        if (scheduler->options.independent)
            drop_histories(scheduler);
        else
            scheduler->clearing += holding_give_up(scheduler, cleared_one);
        bytes own = identity_text(&scheduler->process);
        scheduler->clearing += broker_clear_entries(&scheduler->broker, own, list_cleared, scheduler) == 0;
    }
    cleared_one(scheduler);
}

/* ---- making, starting, ending ---- */

static int scheduler_check_provider(asynq_scheduler *scheduler, asynq_error *error)
{
    asynq_scheduler_options *options = &scheduler->options;
    if (options->sync_interval_ms < 0)
        return error_set(error, ASYNQ_E_INVALID, "sync_interval_ms is negative");
    if (!options->sync_interval_ms)
        options->sync_interval_ms = options->file ? DEFAULT_FILE_SYNC_MS : DEFAULT_SYNC_MS;
    if (!options->file)
        return ASYNQ_OK;
    if (options->provide)
        return error_set(error, ASYNQ_E_INVALID, "a scheduler has a provider or a file, not both");
    scheduler->file = schedule_file_new(options->file);
    options->provide = schedule_file_provide;
    options->provide_arg = scheduler->file;
    return scheduler->file ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

static int scheduler_check_options(asynq_scheduler *scheduler, asynq_error *error)
{
    asynq_scheduler_options *options = &scheduler->options;
    zone *loaded;
    if (!options->redis)
        options->redis = SCHEDULER_DEFAULT_URI;
    if (!options->heartbeat_interval_ms)
        options->heartbeat_interval_ms = DEFAULT_HEARTBEAT_MS;
    if (options->heartbeat_interval_ms < 0 || options->heartbeat_interval_ms > INT32_MAX)
        return error_set(error, ASYNQ_E_INVALID, "heartbeat_interval_ms is negative or more than 24 days");
    if (!options->shutdown_timeout_ms)
        options->shutdown_timeout_ms = DEFAULT_SHUTDOWN_MS;
    if (options->shutdown_timeout_ms < 0 || options->shutdown_timeout_ms > INT32_MAX)
        return error_set(error, ASYNQ_E_INVALID, "shutdown_timeout_ms is negative or more than 24 days");
    int status = zone_load(&loaded, options->zone ? options->zone : "", error);
    if (status)
        return status;
    zone_free(loaded);
    scheduler->zone = options->zone ? mem_strdup(options->zone) : NULL;
    if (options->zone && !scheduler->zone)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    return scheduler_check_provider(scheduler, error);
}

static void scheduler_destroy(asynq_scheduler *scheduler)
{
    registry_clear(scheduler);
    provided_clear(&scheduler->provided);
    schedule_file_free(scheduler->file);
    mem_free(scheduler->zone);
    redis_uri_clear(&scheduler->uri);
    key_space_clear(&scheduler->space);
    identity_clear(&scheduler->process);
    log_clear(&scheduler->log);
    pthread_mutex_destroy(&scheduler->lock);
    mem_free(scheduler);
}

asynq_scheduler *asynq_scheduler_new(const asynq_scheduler_options *options, asynq_error *error)
{
    error_clear(error);
    asynq_scheduler *scheduler = mem_calloc(1, sizeof *scheduler);
    if (!scheduler) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    pthread_mutex_init(&scheduler->lock, NULL);
    provided_init(&scheduler->provided);
    if (options)
        scheduler->options = *options;
    log_init(&scheduler->log, scheduler->options.log, scheduler->options.log_arg, scheduler->options.log_level);
    int status = scheduler_check_options(scheduler, error);
    if (!status)
        status = redis_uri_parse(&scheduler->uri, scheduler->options.redis, error);
    if (!status)
        status = key_space_init(&scheduler->space, scheduler->options.prefix, error);
    if (!status)
        return scheduler;
    scheduler_destroy(scheduler);
    return NULL;
}

static int scheduler_build(asynq_scheduler *scheduler, asynq_error *error)
{
    const engine_options options = {
        .uri = &scheduler->uri,
        .log = &scheduler->log,
        .name = "asynq-scheduler",
        .key_prefix = scheduler->space.prefix.data,
        .events = {.ready = scheduler_ready, .resumed = scheduler_resumed, .down = scheduler_down, .arg = scheduler},
        .ordered = scheduler_turn,
        .arg = scheduler,
    };
    int status = identity_make(&scheduler->process) ? error_set_code(error, ASYNQ_E_NO_MEMORY)
                                                    : engine_open(&scheduler->engine, &options, error);
    if (status)
        return status;
    scheduler->loop = scheduler->engine.loop;
    scheduler->broker = (broker){scheduler->engine.nodes, &scheduler->space};
    loop_timer_init(scheduler->loop, &scheduler->due, firing_pump, scheduler);
    loop_timer_init(scheduler->loop, &scheduler->hold, holding_fired, scheduler);
    loop_timer_init(scheduler->loop, &scheduler->show, showing_fired, scheduler);
    loop_timer_init(scheduler->loop, &scheduler->stop_limit, scheduler_end, scheduler);
    return ASYNQ_OK;
}

/* When the loop has ended, or has never run. */
static void scheduler_take_down(asynq_scheduler *scheduler)
{
    scheduler->broker.nodes = NULL;
    scheduler->loop = NULL;
    engine_close(&scheduler->engine);
}

/* Under the lock. */
static int scheduler_check_is_new(const asynq_scheduler *scheduler, asynq_error *error)
{
    if (scheduler->status == SCHEDULER_ACTIVE)
        return error_set(error, ASYNQ_E_STATE, "asynq: the scheduler is already running");
    if (scheduler->status == SCHEDULER_CLOSED)
        return error_set(error, ASYNQ_E_CLOSED, "asynq: the scheduler has already been stopped");
    return ASYNQ_OK;
}

/* Under the lock. */
static int scheduler_start_threads(asynq_scheduler *scheduler, asynq_error *error)
{
    int status = scheduler_build(scheduler, error);
    if (!status)
        status = engine_start(&scheduler->engine, error);
    if (status) {
        scheduler_take_down(scheduler);
        return status;
    }
    scheduler->status = SCHEDULER_ACTIVE;
    engine_wake(&scheduler->engine); /* for what was registered before */
    return scheduler->options.provide ? provided_start(scheduler, error) : ASYNQ_OK;
}

int asynq_scheduler_start(asynq_scheduler *scheduler, asynq_error *error)
{
    error_clear(error);
    if (engine_check_process(&scheduler->engine, "scheduler", error))
        return ASYNQ_E_STATE;
    pthread_mutex_lock(&scheduler->lock);
    int status = scheduler_check_is_new(scheduler, error);
    pthread_mutex_unlock(&scheduler->lock);
    if (!status && scheduler->options.provide)
        status = asynq_scheduler_sync(scheduler, error);
    if (status)
        return status;
    pthread_mutex_lock(&scheduler->lock);
    status = scheduler_check_is_new(scheduler, error); /* still? */
    if (!status)
        status = scheduler_start_threads(scheduler, error);
    bool is_half = status && scheduler->status == SCHEDULER_ACTIVE;
    pthread_mutex_unlock(&scheduler->lock);
    if (is_half)
        asynq_scheduler_shutdown(scheduler);
    if (!status)
        log_event(&scheduler->log, LOG_SCHEDULER_STARTED, "pid %d, id %s", (int)scheduler->process.pid,
                  scheduler->process.id);
    return status;
}

void asynq_scheduler_shutdown(asynq_scheduler *scheduler)
{
    if (engine_check_process(&scheduler->engine, "scheduler", NULL))
        return; /* its threads and its entries in Redis are the parent's */
    provided_stop(scheduler);
    pthread_mutex_lock(&scheduler->lock);
    bool is_running = scheduler->status == SCHEDULER_ACTIVE;
    scheduler->status = SCHEDULER_CLOSED;
    if (is_running) {
        scheduler->stop_asked = true;
        engine_wake(&scheduler->engine);
    }
    pthread_mutex_unlock(&scheduler->lock);
    if (!is_running)
        return;
    engine_join(&scheduler->engine);
    pthread_mutex_lock(&scheduler->lock); /* a late asynq_scheduler_unregister() may want to wake the loop */
    scheduler_take_down(scheduler);
    pthread_mutex_unlock(&scheduler->lock);
    log_event(&scheduler->log, LOG_SCHEDULER_STOPPED, "id %s", scheduler->process.id);
}

void asynq_scheduler_free(asynq_scheduler *scheduler)
{
    /* In a child of a fork threads seem to wait that are the parent's, and nothing that they wait at can be freed. */
    if (!scheduler || engine_check_process(&scheduler->engine, "scheduler", NULL))
        return;
    asynq_scheduler_shutdown(scheduler);
    scheduler_destroy(scheduler);
}

int asynq_scheduler_run(asynq_scheduler *scheduler, asynq_error *error)
{
    signals taken;
    signals_take(&taken, (const int[]){SIGTERM, SIGINT, 0});
    int status = asynq_scheduler_start(scheduler, error);
    if (!status) {
        signals_wait(&taken);
        asynq_scheduler_shutdown(scheduler);
    }
    signals_give_back(&taken);
    return status;
}
