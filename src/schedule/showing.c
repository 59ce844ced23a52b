/* What user interfaces see of a scheduler (spec 7.8). */
#include "schedule/scheduler.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <stdlib.h>

enum { SHOW_SOON_MS = 50 };

void showing_soon(asynq_scheduler *scheduler)
{
    if (!scheduler->stopping)
        loop_timer_set(&scheduler->show, SHOW_SOON_MS);
}

static int compare_next(const void *a, const void *b)
{
    const schedule_entry *x = *(schedule_entry *const *)a, *y = *(schedule_entry *const *)b;
    uint64_t left = (uint64_t)x->next_s, right = (uint64_t)y->next_s; /* TICK_NEVER is the largest then */
    return left < right ? -1 : left > right;
}

static void entries_shown(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)reply;
    if (status)
        scheduler_complain(arg, "show periodic entries", error);
}

/* The records of entries that we hold, those that come soonest first. */
static int write_entries(asynq_scheduler *scheduler, schedule_entry **shown, size_t count, bytes *records)
{
    arena memory;
    asynq_error error;
    int status = ASYNQ_OK;
    arena_init(&memory, 0);
    qsort(shown, count, sizeof *shown, compare_next);
    for (size_t i = 0; i < count && !status; i++) {
        buf record;
        buf_init(&record, 0);
        status = schedule_entry_encode(shown[i], &record, &error);
        records[i] = (bytes){status ? NULL : arena_dup(&memory, record.data, record.length), record.length};
        buf_clear(&record);
        if (!status && !records[i].data)
            status = ASYNQ_E_NO_MEMORY;
    }
    /* Whole seconds: an interval of 1.5 s must not leave a list without end (quirk Q-18). */
    int64_t life_s = (2 * scheduler->options.heartbeat_interval_ms + MS_PER_SECOND - 1) / MS_PER_SECOND;
    if (!status)
        status = broker_write_entries(&scheduler->broker, identity_text(&scheduler->process), records, count,
                                      clock_now_ns(), life_s, entries_shown, scheduler);
    arena_clear(&memory);
    return status;
}

void showing_fired(void *arg)
{
    asynq_scheduler *scheduler = arg;
    size_t count = 0;
    loop_timer_set(&scheduler->show, scheduler->options.heartbeat_interval_ms);
    if (!broker_is_ready(&scheduler->broker))
        return;
    FOR_EACH_ENTRY(scheduler, queue, entry)
        count++;
    schedule_entry **shown = mem_alloc((count + 1) * sizeof *shown);
    bytes *records = mem_alloc((count + 1) * sizeof *records);
    count = 0;
    if (shown && records) {
        FOR_EACH_ENTRY(scheduler, queue, entry)
            if (entry->held && !entry->gone)
                shown[count++] = entry;
        if (write_entries(scheduler, shown, count, records))
            log_event_repeated(&scheduler->log, &scheduler->complaint, LOG_ENTRIES_NOT_LISTED, "Redis refused it");
    }
    mem_free(shown);
    mem_free(records);
}
