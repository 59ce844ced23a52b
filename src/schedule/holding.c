/* Holding entries, so that of all schedulers one enqueues their tasks. */
#include "schedule/scheduler.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "schedule/registry.h"

enum { HOLD_PERIOD_MS = 2000 /* so a dead scheduler's entries go on after at most this and BROKER_HOLD_MS */ };

/* A call for several entries. */
typedef struct hold_call {
    asynq_scheduler *scheduler;
    void (*done)(asynq_scheduler *scheduler); /* when giving up */
    size_t count;
    schedule_entry *entries[BROKER_HOLD_ENTRIES];
} hold_call;

/* What came of a tick whose answer was lost: the record tells. */
static void resolve_unsure(asynq_scheduler *scheduler, schedule_entry *entry, const held_entry *held)
{
    entry->unsure = false;
    if (held->tick_s < entry->firing_tick_s || !bytes_equal(held->task_id, entry->plan.item.id))
        return; /* not run, or another scheduler went on: `last_s` says which */
    int status = broker_enqueue_status(held->result);
    firing_finished(scheduler, entry, status, asynq_status_text(status));
}

static void entry_held(asynq_scheduler *scheduler, schedule_entry *entry, const held_entry *held)
{
    if (held->is_held != entry->held || !entry->last_s)
        showing_soon(scheduler);
    if (held->is_held && !entry->held)
        log_event(&scheduler->log, LOG_ENTRY_HELD, "%s (%s, \"%s\")", entry->id, entry->periodic.task.type,
                  entry->periodic.spec);
    entry->held = held->is_held;
    if (entry->unsure)
        resolve_unsure(scheduler, entry, held);
    if (entry->last_s < held->tick_s)
        entry->last_s = held->tick_s;
    if (held->task_id.length && entry->previous_s < held->tick_s)
        entry->previous_s = held->tick_s;
    if (entry->held && !entry->firing)
        firing_choose(scheduler, entry);
}

static void hold_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    hold_call *call = arg;
    asynq_scheduler *scheduler = call->scheduler;
    if (status)
        scheduler_complain(scheduler, "hold periodic entries", error);
    else
        firing_set_clock(scheduler, reply);
    for (size_t i = 0; i < call->count; i++) {
        held_entry held = status ? (held_entry){0} : broker_held_at(reply, i);
        if (held.tick_s && !call->entries[i]->gone)
            entry_held(scheduler, call->entries[i], &held);
        registry_release(scheduler, call->entries[i]);
    }
    mem_free(call);
    if (!status)
        firing_pump(scheduler);
}

static hold_call *call_new(asynq_scheduler *scheduler, void (*done)(asynq_scheduler *scheduler))
{
    hold_call *call = mem_calloc(1, sizeof *call);
    if (call) {
        call->scheduler = scheduler;
        call->done = done;
    }
    return call;
}

/* Takes the next entries into the call. Returns the one behind them. */
static schedule_entry *call_fill(hold_call *call, schedule_entry *entry)
{
    for (; entry && call->count < BROKER_HOLD_ENTRIES; entry = entry->next) {
        if (entry->gone)
            continue;
        entry->uses++;
        call->entries[call->count++] = entry;
    }
    return entry;
}

static bool call_send(hold_call *call, broker_cb cb)
{
    asynq_scheduler *scheduler = call->scheduler;
    hold_item items[BROKER_HOLD_ENTRIES];
    for (size_t i = 0; i < call->count; i++)
        items[i] = (hold_item){call->entries[i]->record, call->entries[i]->last_s};
    int64_t hold_ms = call->done ? 0 : BROKER_HOLD_MS;
    if (call->count && !broker_hold_entries(&scheduler->broker, bytes_of(scheduler->process.id), hold_ms, items,
                                            call->count, cb, call))
        return true;
    for (size_t i = 0; i < call->count; i++)
        call->entries[i]->uses--; /* none has gone since call_fill() */
    mem_free(call);
    return false;
}

/* Sends calls for all entries. Returns how many are under way. */
static size_t call_all(asynq_scheduler *scheduler, broker_cb cb, void (*done)(asynq_scheduler *scheduler))
{
    size_t calls = 0;
    for (scheduler_queue *queue = scheduler->queues; queue; queue = queue->next) {
        for (schedule_entry *entry = queue->entries; entry;) {
            hold_call *call = call_new(scheduler, done);
            if (!call)
                return calls; /* the next round tries again */
            entry = call_fill(call, entry);
            calls += call_send(call, cb);
        }
    }
    return calls;
}

void holding_fired(void *arg)
{
    asynq_scheduler *scheduler = arg;
    if (scheduler->options.independent)
        return;
    loop_timer_set(&scheduler->hold, HOLD_PERIOD_MS);
    if (broker_is_ready(&scheduler->broker))
        call_all(scheduler, hold_replied, NULL);
}

void holding_lost(asynq_scheduler *scheduler)
{
    if (!scheduler->options.independent)
        FOR_EACH_ENTRY(scheduler, queue, entry)
            entry->held = false;
}

static void given_up(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)status, (void)error, (void)reply; /* else the holds end by themselves */
    hold_call *call = arg;
    for (size_t i = 0; i < call->count; i++)
        registry_release(call->scheduler, call->entries[i]);
    call->done(call->scheduler);
    mem_free(call);
}

size_t holding_give_up(asynq_scheduler *scheduler, void (*done)(asynq_scheduler *scheduler))
{
    return call_all(scheduler, given_up, done);
}
