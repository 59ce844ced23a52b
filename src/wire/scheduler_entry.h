/* SchedulerEntry and SchedulerEnqueueEvent: what a scheduler tells the user interfaces (spec 4.1, 7.8). */
#ifndef WIRE_SCHEDULER_ENTRY_H
#define WIRE_SCHEDULER_ENTRY_H

#include "wire/record.h"

typedef struct scheduler_entry {
    bytes id;
    bytes spec;
    bytes task_type;
    bytes task_payload;
    const bytes *options; /* option texts, spec 11.4 */
    size_t option_count;
    record_time next_enqueue_time;
    record_time prev_enqueue_time; /* RECORD_TIME_NEVER before the first */
    record_unknown unknown;
} scheduler_entry;

typedef struct scheduler_event {
    bytes task_id;
    record_time enqueue_time;
    record_unknown unknown;
} scheduler_event;

/* Errors of all four: ASYNQ_E_MALFORMED, ASYNQ_E_NO_MEMORY. Ownership as in task_message.h. */
ASYNQ_MUST_CHECK int scheduler_entry_encode(const scheduler_entry *entry, buf *out, asynq_error *error);
ASYNQ_MUST_CHECK int scheduler_entry_decode(scheduler_entry *entry, bytes from, arena *into, asynq_error *error);
ASYNQ_MUST_CHECK int scheduler_event_encode(const scheduler_event *event, buf *out, asynq_error *error);
ASYNQ_MUST_CHECK int scheduler_event_decode(scheduler_event *event, bytes from, arena *into, asynq_error *error);

#endif
