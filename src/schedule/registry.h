/*
 * The registry: which entries a scheduler has. Callers in any thread put an entry into the list of arrivals or of
 * departures, under the scheduler's lock, and wake its thread. The thread gives each its queue; and when an entry has
 * gone, it is freed as soon as the last call that uses it has come back.
 *
 * An entry belongs to the registry from registry_admit() on. `by_id` and the two lists are under the lock; queues, the
 * stranded entries, and what is in an entry are the thread's.
 */
#ifndef SCHEDULE_REGISTRY_H
#define SCHEDULE_REGISTRY_H

#include "schedule/entry.h"

#include <asynq/scheduler.h>

/* What entries of this scheduler are made with. */
entry_context registry_entry_context(const asynq_scheduler *scheduler);
/* Any thread: registers an entry. It is the registry's afterwards or, with a status as in asynq_scheduler_register(),
 * freed. */
ASYNQ_MUST_CHECK int registry_admit(asynq_scheduler *scheduler, schedule_entry *entry, asynq_error *error);

/* The scheduler's thread, from here on. */

/* Takes what callers have brought and taken away. */
void registry_take_changes(asynq_scheduler *scheduler);
/* Entries that have no queue yet are given one. If there is no memory for it, it is tried again. */
void registry_settle_in(asynq_scheduler *scheduler);
/* A call that used the entry has come back. */
void registry_release(asynq_scheduler *scheduler, schedule_entry *entry);
/* The end, when no other thread is left: frees queues and entries. */
void registry_clear(asynq_scheduler *scheduler);

#endif
