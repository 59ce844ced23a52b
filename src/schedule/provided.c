/* See provided.h. */
#include "schedule/provided.h"

#include "base/error.h"
#include "base/thread.h"
#include "schedule/registry.h"
#include "schedule/scheduler.h"

#include <string.h>

enum { COMPLAIN_PERIOD_MS = 60000 };

struct provided_entry {
    UT_hash_handle hh; /* by content */
    char content[ASYNQ_ENTRY_ID_SIZE];
    char id[ASYNQ_ENTRY_ID_SIZE];
};

/* ---- the list ---- */

/* The entry is the list's afterwards, or freed. */
static int list_take(asynq_periodic_list *list, schedule_entry *entry, asynq_error *error)
{
    schedule_entry *other;
    HASH_FIND_STR(list->by_id, entry->id, other);
    if (other && strcmp(other->content, entry->content) != 0) {
        schedule_entry_free(entry);
        return error_set(error, ASYNQ_E_CONFLICT, "another entry of its name or with its task is in the list");
    }
    HASH_FIND(content_hh, list->by_content, entry->content, strlen(entry->content), other);
    if (other) {
        schedule_entry_free(entry);
        return ASYNQ_OK;
    }
    HASH_ADD_STR(list->by_id, id, entry);
    if (HASH_HAS(entry))
        HASH_ADD(content_hh, list->by_content, content, strlen(entry->content), entry);
    if (HASH_HAS(entry) && entry->content_hh.tbl)
        return ASYNQ_OK;
    if (HASH_HAS(entry))
        HASH_DEL(list->by_id, entry);
    schedule_entry_free(entry);
    return error_set_code(error, ASYNQ_E_NO_MEMORY);
}

int asynq_periodic_list_add(asynq_periodic_list *list, const asynq_periodic *given, asynq_error *error)
{
    asynq_error own_error;
    schedule_entry *entry;
    error = error ? error : &own_error;
    error_clear(error);
    list->is_broken |= !given->spec || !*given->spec || !given->task.type;
    int status = schedule_entry_new(&entry, given, &list->context, error);
    if (!status)
        status = list_take(list, entry, error);
    list->is_broken |= status == ASYNQ_E_NO_MEMORY;
    if (status && list->log)
        log_event(list->log, LOG_ENTRY_INVALID, "\"%s\" for %s: %s", given->spec ? given->spec : "",
                  given->task.type ? given->task.type : "no type", error->text);
    return status;
}

/* Takes it out of the list. */
static void list_drop(asynq_periodic_list *list, schedule_entry *entry)
{
    HASH_DEL(list->by_id, entry);
    HASH_DELETE(content_hh, list->by_content, entry);
}

void periodic_list_clear(asynq_periodic_list *list)
{
    schedule_entry *entry, *next;
    HASH_ITER(hh, list->by_id, entry, next) {
        list_drop(list, entry);
        schedule_entry_free(entry);
    }
}

/* ---- from the list to the scheduler ---- */

static void drop_missing(asynq_scheduler *scheduler, const asynq_periodic_list *list)
{
    provided_entry *known, *next;
    HASH_ITER(hh, scheduler->provided.entries, known, next) {
        schedule_entry *entry;
        HASH_FIND(content_hh, list->by_content, known->content, strlen(known->content), entry);
        if (entry)
            continue;
        if (!asynq_scheduler_unregister(scheduler, known->id, NULL)) /* else somebody else did */
            log_event(&scheduler->log, LOG_ENTRY_REMOVED, "%s", known->id);
        HASH_DEL(scheduler->provided.entries, known);
        mem_free(known);
    }
}

/* The entry is the scheduler's afterwards, or freed. */
static int admit(asynq_scheduler *scheduler, schedule_entry *entry, asynq_error *error)
{
    provided_entry *known = mem_calloc(1, sizeof *known);
    if (known) {
        memcpy(known->content, entry->content, sizeof known->content);
        memcpy(known->id, entry->id, sizeof known->id);
        HASH_ADD_STR(scheduler->provided.entries, content, known);
    }
    bool is_known = known && HASH_HAS(known);
    int status = is_known ? registry_admit(scheduler, entry, error) : error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!is_known)
        schedule_entry_free(entry);
    if (status && is_known)
        HASH_DEL(scheduler->provided.entries, known);
    if (status)
        mem_free(known);
    return status;
}

static void admit_new(asynq_scheduler *scheduler, asynq_periodic_list *list)
{
    schedule_entry *entry, *next;
    HASH_ITER(hh, list->by_id, entry, next) {
        provided_entry *known;
        asynq_error error;
        HASH_FIND_STR(scheduler->provided.entries, entry->content, known);
        if (known)
            continue;
        char id[ASYNQ_ENTRY_ID_SIZE];
        memcpy(id, entry->id, sizeof id);
        list_drop(list, entry);
        if (admit(scheduler, entry, &error)) /* tried again with the next list */
            log_event(&scheduler->log, LOG_ENTRY_INVALID, "%s: %s", id, error.text);
        else
            log_event(&scheduler->log, LOG_ENTRY_ADDED, "%s", id);
    }
}

int asynq_scheduler_sync(asynq_scheduler *scheduler, asynq_error *error)
{
    error_clear(error);
    asynq_error own_error;
    const asynq_scheduler_options *options = &scheduler->options;
    if (engine_check_process(&scheduler->engine, "scheduler", error))
        return ASYNQ_E_STATE;
    if (!options->provide)
        return error_set(error, ASYNQ_E_INVALID, "the scheduler has no provider and no file");
    error = error ? error : &own_error;
    asynq_periodic_list list = {.context = registry_entry_context(scheduler), .log = &scheduler->log};
    pthread_mutex_lock(&scheduler->provided.lock);
    int status = options->provide(&list, options->provide_arg, error);
    if (!status && list.is_broken)
        status = error_set(error, ASYNQ_E_INVALID, "the provider returned an entry without a spec or a type");
    if (!status) {
        drop_missing(scheduler, &list);
        admit_new(scheduler, &list);
    }
    periodic_list_clear(&list);
    pthread_mutex_unlock(&scheduler->provided.lock);
    if (status == ASYNQ_PROVIDER_UNCHANGED)
        status = ASYNQ_OK;
    return status;
}

/* ---- from time to time ---- */

static bool provided_wait_for_end(asynq_scheduler *scheduler)
{
    struct timespec until = thread_wait_end(scheduler->options.sync_interval_ms);
    int problem = 0;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->provided.is_ending && !problem)
        problem = pthread_cond_timedwait(&scheduler->provided.end, &scheduler->lock, &until);
    bool is_ending = scheduler->provided.is_ending;
    pthread_mutex_unlock(&scheduler->lock);
    return is_ending;
}

static void *keep_asking(void *arg)
{
    asynq_scheduler *scheduler = arg;
    asynq_error error;
    while (!provided_wait_for_end(scheduler))
        if (asynq_scheduler_sync(scheduler, &error))
            log_event_repeated(&scheduler->log, &scheduler->provided.complaint, LOG_ENTRIES_KEPT, "%s", error.text);
    return NULL;
}

int provided_start(asynq_scheduler *scheduler, asynq_error *error)
{
    provided *own = &scheduler->provided;
    int status = thread_start(&own->thread, keep_asking, scheduler, error);
    own->is_running = !status;
    return status;
}

void provided_stop(asynq_scheduler *scheduler)
{
    provided *own = &scheduler->provided;
    pthread_mutex_lock(&scheduler->lock);
    bool was_running = own->is_running;
    own->is_running = false;
    own->is_ending = true;
    pthread_cond_signal(&own->end);
    pthread_mutex_unlock(&scheduler->lock);
    if (was_running)
        pthread_join(own->thread, NULL);
}

void provided_init(provided *own)
{
    pthread_mutex_init(&own->lock, NULL);
    thread_cond_init(&own->end);
    own->complaint.min_ms = COMPLAIN_PERIOD_MS;
}

void provided_clear(provided *own)
{
    provided_entry *known, *next;
    HASH_ITER(hh, own->entries, known, next) {
        HASH_DEL(own->entries, known);
        mem_free(known);
    }
    pthread_cond_destroy(&own->end);
    pthread_mutex_destroy(&own->lock);
}
