/* Entries' coming and going. See registry.h. */
#include "schedule/registry.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "schedule/scheduler.h"

#include <utlist.h>

/* ---- in the thread ---- */

static void registry_drop_if_gone(asynq_scheduler *scheduler, schedule_entry *entry)
{
    if (!entry->gone || entry->uses)
        return;
    DL_DELETE(*(entry->queue ? &entry->queue->entries : &scheduler->stranded), entry);
    schedule_entry_free(entry);
}

void registry_release(asynq_scheduler *scheduler, schedule_entry *entry)
{
    entry->uses--;
    registry_drop_if_gone(scheduler, entry);
}

static scheduler_queue *registry_find_queue(asynq_scheduler *scheduler, bytes name)
{
    for (scheduler_queue *queue = scheduler->queues; queue; queue = queue->next)
        if (bytes_equal(queue->keys.queue, name))
            return queue;
    scheduler_queue *queue = mem_calloc(1, sizeof *queue);
    if (!queue || queue_keys_init(&queue->keys, &scheduler->space, name)) {
        mem_free(queue);
        return NULL;
    }
    firing_init_queue(scheduler, queue);
    LL_PREPEND(scheduler->queues, queue);
    return queue;
}

void registry_settle_in(asynq_scheduler *scheduler)
{
    schedule_entry *entry, *next;
    DL_FOREACH_SAFE(scheduler->stranded, entry, next) {
        scheduler_queue *queue = registry_find_queue(scheduler, bytes_of(entry->queue_name));
        if (!queue || !schedule_entry_name_record(entry, &queue->keys)) {
            loop_timer_set(&scheduler->due, SCHEDULER_TRY_AGAIN_MS);
            return;
        }
        DL_DELETE(scheduler->stranded, entry);
        DL_APPEND(queue->entries, entry);
        entry->queue = queue;
        entry->held = scheduler->options.independent;
        if (entry->held)
            entry->last_s = floor_div(clock_now_ns(), NS_PER_SECOND);
    }
}

void registry_take_changes(asynq_scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->lock);
    schedule_entry *departures = scheduler->departures;
    DL_CONCAT(scheduler->stranded, scheduler->arrivals);
    scheduler->arrivals = scheduler->departures = NULL;
    pthread_mutex_unlock(&scheduler->lock);

    registry_settle_in(scheduler);
    while (departures) {
        schedule_entry *entry = departures;
        departures = entry->next_departure;
        entry->gone = true;
        registry_drop_if_gone(scheduler, entry);
    }
}

void registry_clear(asynq_scheduler *scheduler)
{
    schedule_entry *entry, *next;
    HASH_CLEAR(hh, scheduler->by_id);
    DL_CONCAT(scheduler->stranded, scheduler->arrivals);
    while (scheduler->queues) {
        scheduler_queue *queue = scheduler->queues;
        scheduler->queues = queue->next;
        DL_CONCAT(scheduler->stranded, queue->entries);
        queue_keys_clear(&queue->keys);
        mem_free(queue);
    }
    DL_FOREACH_SAFE(scheduler->stranded, entry, next)
        schedule_entry_free(entry);
}

/* ---- in any thread ---- */

entry_context registry_entry_context(const asynq_scheduler *scheduler)
{
    const asynq_scheduler_options *options = &scheduler->options;
    return (entry_context){&scheduler->space, scheduler->zone,       options->independent,
                           options->defaults, options->defaults_arg, scheduler->sizes};
}

int registry_admit(asynq_scheduler *scheduler, schedule_entry *entry, asynq_error *error)
{
    schedule_entry *other;
    int status = ASYNQ_OK;
    entry->owner = scheduler;
    if (engine_check_process(&scheduler->engine, "scheduler", error)) {
        schedule_entry_free(entry);
        return ASYNQ_E_STATE;
    }
    pthread_mutex_lock(&scheduler->lock);
    HASH_FIND_STR(scheduler->by_id, entry->id, other);
    if (scheduler->status == SCHEDULER_CLOSED)
        status = error_set(error, ASYNQ_E_CLOSED, "asynq: the scheduler has already been stopped");
    else if (other)
        status = error_set(error, ASYNQ_E_CONFLICT, "an equal entry is registered already; give both names");
    if (!status) {
        HASH_ADD_STR(scheduler->by_id, id, entry);
        if (!HASH_HAS(entry))
            status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    if (!status) {
        DL_APPEND(scheduler->arrivals, entry);
        if (scheduler->loop)
            engine_wake(&scheduler->engine);
    }
    pthread_mutex_unlock(&scheduler->lock);
    if (status)
        schedule_entry_free(entry);
    return status;
}

int asynq_scheduler_register(asynq_scheduler *scheduler, const asynq_periodic *given, char id[ASYNQ_ENTRY_ID_SIZE],
                             asynq_error *error)
{
    error_clear(error);
    schedule_entry *entry;
    char own_id[ASYNQ_ENTRY_ID_SIZE];
    if (engine_check_process(&scheduler->engine, "scheduler", error))
        return ASYNQ_E_STATE;
    const entry_context context = registry_entry_context(scheduler);
    int status = schedule_entry_new(&entry, given, &context, error);
    if (status)
        return status;
    memcpy(own_id, entry->id, sizeof own_id); /* another thread may unregister it as soon as it is registered */
    status = registry_admit(scheduler, entry, error);
    if (!status && id)
        memcpy(id, own_id, sizeof own_id);
    return status;
}

int asynq_scheduler_unregister(asynq_scheduler *scheduler, const char *id, asynq_error *error)
{
    error_clear(error);
    schedule_entry *entry;
    if (engine_check_process(&scheduler->engine, "scheduler", error))
        return ASYNQ_E_STATE;
    pthread_mutex_lock(&scheduler->lock);
    HASH_FIND_STR(scheduler->by_id, id, entry);
    if (entry) {
        HASH_DEL(scheduler->by_id, entry);
        entry->next_departure = scheduler->departures;
        scheduler->departures = entry;
        if (scheduler->loop)
            engine_wake(&scheduler->engine);
    }
    pthread_mutex_unlock(&scheduler->lock);
    return entry ? ASYNQ_OK : error_set(error, ASYNQ_E_NOT_FOUND, "asynq: no scheduler entry found: %.64s", id);
}
