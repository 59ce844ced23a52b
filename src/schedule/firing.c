/* Ticks: which one comes next, and enqueueing it. */
#include "schedule/scheduler.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/structs.h"
#include "schedule/registry.h"
#include "wire/scheduler_entry.h"

#include <inttypes.h>

enum { LOOK_AGAIN_MS = 60000 }; /* at the clock, if no tick comes earlier */

/* The clock by which ticks come, Unix ms. Not the loop's, which may be older than the answer that we are looking at. */
static int64_t scheduler_now_ms(const asynq_scheduler *scheduler)
{
    if (scheduler->options.independent)
        return clock_now_ns() / NS_PER_MS;
    return clock_steady_ms() + scheduler->clock_offset_ms;
}

void firing_set_clock(asynq_scheduler *scheduler, const redis_value *reply)
{
    scheduler->clock_offset_ms = broker_schedule_clock_ms(reply) - clock_steady_ms();
}

static void entry_report_missed(asynq_scheduler *scheduler, schedule_entry *entry, const tick_choice *choice)
{
    int64_t first_ms = choice->missed_first_s * MS_PER_SECOND, last_ms = choice->missed_last_s * MS_PER_SECOND;
    log_event(&scheduler->log, LOG_RUNS_MISSED, "entry %s (%s, \"%s\"): of %" PRId64 " s; they are dropped", entry->id,
              entry->periodic.task.type, entry->periodic.spec, choice->missed_last_s - choice->missed_first_s + 1);
    if (scheduler->options.on_missed)
        scheduler->options.on_missed(entry->id, entry->shown, first_ms, last_ms, scheduler->options.arg);
}

/* Finds the next tick. Returns how long it is until it must be enqueued; below 0: never. */
int64_t firing_choose(asynq_scheduler *scheduler, schedule_entry *entry)
{
    int64_t now_ms = scheduler_now_ms(scheduler) - schedule_entry_delay_ms(entry);
    tick_choice choice = {0};
    if (scheduler->options.independent) {
        int64_t next_ms = asynq_cron_next_ms(entry->cron, entry->last_s * MS_PER_SECOND);
        choice.tick_s = next_ms == ASYNQ_NONE ? TICK_NEVER : next_ms / MS_PER_SECOND;
    } else {
        choice = tick_choose(&entry->rule, entry->last_s, now_ms);
    }
    if (choice.missed_last_s) {
        entry_report_missed(scheduler, entry, &choice);
        entry->last_s = choice.missed_last_s;
    }
    entry->next_s = choice.tick_s;
    if (choice.tick_s == TICK_NEVER)
        return -1;
    int64_t wait_ms = choice.tick_s * MS_PER_SECOND - now_ms;
    return wait_ms > 0 ? wait_ms : 0;
}

static void record_event(asynq_scheduler *scheduler, schedule_entry *entry)
{
    buf event;
    asynq_error error;
    int64_t now_ns = clock_now_ns();
    buf_init(&event, 0);
    scheduler_event record = {.task_id = entry->plan.item.id, .enqueue_time = record_time_of_ns(now_ns)};
    int status = scheduler_event_encode(&record, &event, &error);
    if (!status)
        status = broker_record_tick(&scheduler->broker, bytes_of(entry->id), (bytes){event.data, event.length},
                                    floor_div(now_ns, NS_PER_SECOND), NULL, NULL);
    if (status)
        log_event_repeated(&scheduler->log, &scheduler->complaint, LOG_RUN_NOT_LISTED, "entry %s: task %s", entry->id,
                           entry->plan.enqueued.id);
    buf_clear(&event);
}

/* The tick that was under way is over, by us. */
void firing_finished(asynq_scheduler *scheduler, schedule_entry *entry, int status, const char *text)
{
    entry->previous_s = entry->firing_tick_s;
    /* Go looks for the next tick from the moment of the last one on; several that were missed are one. */
    entry->last_s = scheduler->options.independent ? floor_div(clock_now_ns(), NS_PER_SECOND) : entry->firing_tick_s;
    if (status)
        error_set(&entry->plan.enqueued.error, status, "%s", text);
    else
        record_event(scheduler, entry);
    if (status)
        log_event_repeated(&scheduler->log, &scheduler->complaint, LOG_RUN_FAILED, "entry %s (%s): not enqueued: %s",
                           entry->id, entry->periodic.task.type, text);
    structs_room room;
    const asynq_enqueued *enqueued = structs_shown_in(&room, scheduler->sizes, STRUCT_ENQUEUED, &entry->plan.enqueued);
    if (scheduler->options.post_enqueue)
        scheduler->options.post_enqueue(entry->id, entry->shown, enqueued, scheduler->options.arg);
}

static void entry_catch_up_with(schedule_entry *entry, int64_t last_s)
{
    if (entry->last_s < last_s)
        entry->last_s = last_s;
}

static void tick_answered(asynq_scheduler *scheduler, schedule_entry *entry, const redis_value *reply)
{
    fired_tick fired = broker_fired(reply);
    firing_set_clock(scheduler, reply);
    switch (fired.result) {
    case TICK_OVER:
        entry_catch_up_with(entry, fired.last_s);
        break;
    case TICK_HELD_BY_OTHER:
        entry->held = false;
        showing_soon(scheduler);
        break;
    default: {
        int status = broker_enqueue_status(fired.result);
        firing_finished(scheduler, entry, status, asynq_status_text(status));
    }
    }
}

static void tick_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    schedule_entry *entry = arg;
    asynq_scheduler *scheduler = entry->owner;
    bool is_independent = scheduler->options.independent;
    entry->firing = false;
    scheduler->firing--;
    if (!status && is_independent) {
        int own = broker_enqueue_status(broker_result_at(reply, 0));
        firing_finished(scheduler, entry, own, asynq_status_text(own));
    } else if (!status) {
        tick_answered(scheduler, entry, reply);
    } else if (is_independent) {
        firing_finished(scheduler, entry, status, error->text);
    } else {
        entry->unsure = status == ASYNQ_E_OUTCOME_UNKNOWN;
        scheduler_complain(scheduler, "enqueue a periodic task", error);
    }
    registry_release(scheduler, entry);
    loop_timer_set(&scheduler->due, status && !is_independent ? SCHEDULER_TRY_AGAIN_MS : 0);
    if (scheduler->stopping)
        scheduler_advance_stop(scheduler);
}

/* What is due is fired now, or the next entry tells why it cannot be. */
static void queue_told(void *arg, int status, const asynq_error *error)
{
    scheduler_queue *queue = arg;
    asynq_scheduler *scheduler = queue->owner;
    queue->publish_error = status ? *error : (asynq_error){0};
    firing_pump(scheduler);
}

void firing_init_queue(asynq_scheduler *scheduler, scheduler_queue *queue)
{
    queue->owner = scheduler;
    queue->publication = (queue_publication){.told = queue_told, .arg = queue};
}

/* QUEUE_PUBLISHED, QUEUE_PUBLISHING or a status with its text. What cannot be sent is told by the tick. */
static int publish_queue(asynq_scheduler *scheduler, scheduler_queue *queue, asynq_error *error)
{
    int status = queue->publish_error.code;
    *error = queue->publish_error;
    queue->publish_error = (asynq_error){0};
    if (status || !broker_has_queue(&scheduler->broker, &queue->keys))
        return status;
    if (!broker_can_keep(&scheduler->broker, queue->keys.queue))
        return error_set(error, ASYNQ_E_INVALID, BROKER_CANNOT_KEEP);
    status = queue_publish(&queue->publication, &scheduler->broker, queue->keys.queue, loop_steady_ms(scheduler->loop));
    return status < 0 ? error_set_code(error, status) : status;
}

static int send_tick(asynq_scheduler *scheduler, schedule_entry *entry, int64_t now_ns)
{
    scheduler_queue *queue = entry->queue;
    if (!broker_has_queue(&scheduler->broker, &queue->keys))
        return ASYNQ_E_UNAVAILABLE;
    const enqueue_item *item = &entry->plan.item;
    if (scheduler->options.independent)
        return broker_enqueue(&scheduler->broker, &queue->keys,
                              &(enqueue_batch){.items = &item, .count = 1, .now_ns = now_ns}, tick_replied, entry);
    return broker_fire_tick(&scheduler->broker, &queue->keys,
                            &(tick_fire){.record = entry->record,
                                         .scheduler = bytes_of(scheduler->process.id),
                                         .tick_s = entry->next_s,
                                         .item = item,
                                         .now_ns = now_ns},
                            tick_replied, entry);
}

static void entry_tell_next(asynq_scheduler *scheduler, schedule_entry *entry)
{
    if (scheduler->options.pre_enqueue)
        scheduler->options.pre_enqueue(entry->id, entry->shown, entry->next_s * MS_PER_SECOND, scheduler->options.arg);
}

/* Returns when to look at the entry again, in ms; below 0: when the answer has come. */
static int64_t entry_fire(asynq_scheduler *scheduler, schedule_entry *entry)
{
    asynq_error error;
    int64_t now_ns = clock_now_ns();
    bool is_independent = scheduler->options.independent;
    int status = publish_queue(scheduler, entry->queue, &error);
    if (status == QUEUE_PUBLISHING)
        return -1;
    entry_tell_next(scheduler, entry);
    entry->firing_tick_s = entry->next_s;
    if (!status)
        status = schedule_entry_plan(entry, entry->next_s, !is_independent, now_ns, &error);
    if (!status) {
        status = send_tick(scheduler, entry, now_ns);
        error_set_code(&error, status);
    }
    if (!status) {
        entry->firing = true;
        entry->uses++;
        scheduler->firing++;
        return -1;
    }
    if (is_independent) {
        firing_finished(scheduler, entry, status, error.text);
        return 0;
    }
    scheduler_complain(scheduler, "enqueue a periodic task", &error);
    return SCHEDULER_TRY_AGAIN_MS;
}

/* Enqueues what is due, and sets the timer for what comes next. */
void firing_pump(void *arg)
{
    asynq_scheduler *scheduler = arg;
    int64_t wait_ms = LOOK_AGAIN_MS;
    registry_settle_in(scheduler);
    if (scheduler->stopping || (!scheduler->options.independent && !broker_is_ready(&scheduler->broker)))
        return;
    FOR_EACH_ENTRY(scheduler, queue, entry) {
        if (!entry->held || entry->gone || entry->firing || entry->unsure || !entry->last_s)
            continue;
        int64_t own_ms = firing_choose(scheduler, entry);
        if (own_ms == 0)
            own_ms = entry_fire(scheduler, entry);
        if (own_ms >= 0 && own_ms < wait_ms)
            wait_ms = own_ms;
    }
    loop_timer_set(&scheduler->due, wait_ms);
}
