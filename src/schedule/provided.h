/*
 * Entries that a provider returns: what is new among them is registered, what is missing unregistered. Each is known by
 * all that was said of it, its content.
 */
#ifndef SCHEDULE_PROVIDED_H
#define SCHEDULE_PROVIDED_H

#include "base/log.h"
#include "schedule/entry.h"

#include <pthread.h>

struct asynq_periodic_list {
    entry_context context;
    bool is_broken; /* by an entry that is none */
    log_sink *log;  /* for entries that are left out; may be NULL */
    schedule_entry *by_content, *by_id;
};

void periodic_list_clear(asynq_periodic_list *list);

/* What of the scheduler's entries came from the provider. Under its own lock, which is held while the provider runs. */
typedef struct provided_entry provided_entry;

typedef struct provided {
    pthread_mutex_t lock;
    provided_entry *entries;

    /* The thread that asks the provider from time to time; under the scheduler's lock. */
    pthread_t thread;
    bool is_running, is_ending;
    pthread_cond_t end;
    log_limit complaint;
} provided;

void provided_init(provided *own);
void provided_clear(provided *own);

struct asynq_scheduler;
/* The thread's beginning and end. Both are for schedulers with a provider. */
ASYNQ_MUST_CHECK int provided_start(struct asynq_scheduler *scheduler, asynq_error *error);
void provided_stop(struct asynq_scheduler *scheduler);

#endif
