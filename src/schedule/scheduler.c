/*
 * The scheduler: a thread with a loop and a connection. Callers only put entries into two lists, under the lock, and
 * wake the thread.
 *
 *   arrivals --> entries of a queue --hold--> held ones --pump: a tick is due--> fire --> last tick, next tick
 *                                        ^                                         |
 *                                        +------ outcome unknown: ask the record --+
 *
 * An independent scheduler holds nothing; every entry is its own, and it enqueues as a client does.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/option_struct.h"
#include "base/thread.h"
#include "schedule/entry.h"
#include "schedule/zone.h"
#include "wire/identity.h"
#include "wire/scheduler_entry.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <utlist.h>

enum {
    HOLD_PERIOD_MS = 2000, /* so a dead scheduler's entries go on after at most this and BROKER_HOLD_MS */
    LOOK_AGAIN_MS = 60000, /* at the clock, if no tick comes earlier */
    TRY_AGAIN_MS = 1000,
    SHOW_SOON_MS = 50,
    PUBLISH_AGAIN_MS = 5000,
    STOP_LIMIT_MS = 5000,
    DEFAULT_HEARTBEAT_MS = 10000
};

#define SCHEDULER_DEFAULT_URI "redis://127.0.0.1:6379"

typedef enum scheduler_status { SCHEDULER_NEW, SCHEDULER_ACTIVE, SCHEDULER_CLOSED } scheduler_status;

typedef struct scheduler_queue {
    struct scheduler_queue *next;
    queue_keys keys;
    schedule_entry *entries;
    int64_t published_at_ms; /* steady clock; 0: not yet */
} scheduler_queue;

struct asynq_scheduler {
    asynq_scheduler_options options;
    char *zone;
    redis_uri uri;
    log_sink log;
    identity process;

    /* Shared with callers, under the lock. */
    pthread_mutex_t lock;
    scheduler_status status;
    bool stop_asked;
    schedule_entry *by_id;
    schedule_entry *arrivals, *departures;

    /* The thread's. */
    pthread_t thread;
    loop *loop;
    loop_waker waker;
    redis_conn *conn;
    scheduler_queue *queues;
    schedule_entry *stranded; /* arrived when there was no memory for their queue */
    loop_timer due, hold, show, stop_limit;
    int64_t clock_offset_ms; /* Redis's clock less our steady one */
    size_t firing;           /* ticks under way */
    size_t clearing;         /* calls of the end under way */
    bool stopping, cleared;
    log_limit complaint;
};

/* A call for several entries. */
typedef struct hold_call {
    asynq_scheduler *scheduler;
    size_t count;
    schedule_entry *entries[BROKER_HOLD_ENTRIES];
} hold_call;

#define FOR_EACH_ENTRY(scheduler, queue, entry)                                                                        \
    for (scheduler_queue *queue = (scheduler)->queues; queue; queue = queue->next)                                     \
        for (schedule_entry *entry = queue->entries; entry; entry = entry->next)

static void scheduler_pump(void *arg);
static void scheduler_advance_stop(asynq_scheduler *scheduler);

static void complain(asynq_scheduler *scheduler, const char *what, const asynq_error *error)
{
    unsigned skipped;
    bool is_lost = error->code == ASYNQ_E_UNAVAILABLE || error->code == ASYNQ_E_OUTCOME_UNKNOWN;
    if (!is_lost && log_limit_pass(&scheduler->complaint, &skipped))
        log_error(&scheduler->log, "scheduler: cannot %s: %s", what, error->text);
}

/* The clock by which ticks come, Unix ms. Not the loop's, which may be older than the answer that we are looking at. */
static int64_t scheduler_now_ms(const asynq_scheduler *scheduler)
{
    if (scheduler->options.independent)
        return clock_now_ns() / NS_PER_MS;
    return clock_steady_ms() + scheduler->clock_offset_ms;
}

static void scheduler_set_clock(asynq_scheduler *scheduler, const redis_value *reply)
{
    scheduler->clock_offset_ms = broker_schedule_clock_ms(reply) - clock_steady_ms();
}

static void show_soon(asynq_scheduler *scheduler)
{
    if (!scheduler->stopping)
        loop_timer_set(&scheduler->show, SHOW_SOON_MS);
}

/* ---- entries come and go ---- */

static void entry_drop_if_gone(asynq_scheduler *scheduler, schedule_entry *entry)
{
    if (!entry->gone || entry->uses)
        return;
    DL_DELETE(*(entry->queue ? &entry->queue->entries : &scheduler->stranded), entry);
    schedule_entry_free(entry);
}

static void entry_release(asynq_scheduler *scheduler, schedule_entry *entry)
{
    entry->uses--;
    entry_drop_if_gone(scheduler, entry);
}

static scheduler_queue *scheduler_find_queue(asynq_scheduler *scheduler, bytes name)
{
    for (scheduler_queue *queue = scheduler->queues; queue; queue = queue->next)
        if (bytes_equal(queue->keys.queue, name))
            return queue;
    scheduler_queue *queue = mem_calloc(1, sizeof *queue);
    if (!queue || queue_keys_init(&queue->keys, name)) {
        mem_free(queue);
        return NULL;
    }
    LL_PREPEND(scheduler->queues, queue);
    return queue;
}

/* Entries that have no queue yet are given one. */
static void settle_in(asynq_scheduler *scheduler)
{
    schedule_entry *entry, *next;
    DL_FOREACH_SAFE(scheduler->stranded, entry, next) {
        scheduler_queue *queue = scheduler_find_queue(scheduler, bytes_of(entry->queue_name));
        if (!queue || !schedule_entry_name_record(entry, &queue->keys)) {
            loop_timer_set(&scheduler->due, TRY_AGAIN_MS);
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

static void scheduler_take_changes(void *arg)
{
    asynq_scheduler *scheduler = arg;
    pthread_mutex_lock(&scheduler->lock);
    schedule_entry *departures = scheduler->departures;
    DL_CONCAT(scheduler->stranded, scheduler->arrivals);
    scheduler->arrivals = scheduler->departures = NULL;
    bool stop = scheduler->stop_asked;
    pthread_mutex_unlock(&scheduler->lock);

    settle_in(scheduler);
    while (departures) {
        schedule_entry *entry = departures;
        departures = entry->next_departure;
        entry->gone = true;
        entry_drop_if_gone(scheduler, entry);
    }
    if (stop && !scheduler->stopping) {
        scheduler->stopping = true;
        loop_timer_cancel(&scheduler->due);
        loop_timer_cancel(&scheduler->hold);
        loop_timer_cancel(&scheduler->show);
        loop_timer_set(&scheduler->stop_limit, STOP_LIMIT_MS);
    }
    if (scheduler->stopping) {
        scheduler_advance_stop(scheduler);
        return;
    }
    loop_timer_set(&scheduler->hold, 0);
    show_soon(scheduler);
    scheduler_pump(scheduler);
}

/* ---- ticks ---- */

static void entry_report_missed(asynq_scheduler *scheduler, schedule_entry *entry, const tick_choice *choice)
{
    int64_t first_ms = choice->missed_first_s * MS_PER_SECOND, last_ms = choice->missed_last_s * MS_PER_SECOND;
    log_warn(&scheduler->log, "entry %s (%s, \"%s\"): ticks of %" PRId64 " s were missed and are given up", entry->id,
             entry->periodic.task.type, entry->periodic.spec, choice->missed_last_s - choice->missed_first_s + 1);
    if (scheduler->options.on_missed)
        scheduler->options.on_missed(entry->id, &entry->periodic, first_ms, last_ms, scheduler->options.arg);
}

/* Finds the next tick. Returns how long it is until it must be enqueued; below 0: never. */
static int64_t entry_choose(asynq_scheduler *scheduler, schedule_entry *entry)
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
        status = broker_record_tick(scheduler->conn, bytes_of(entry->id), (bytes){event.data, event.length},
                                    floor_div(now_ns, NS_PER_SECOND), NULL, NULL);
    if (status)
        log_warn(&scheduler->log, "entry %s: its history lacks task %s", entry->id, entry->plan.enqueued.id);
    buf_clear(&event);
}

/* The tick that was under way is over, by us. */
static void tick_finished(asynq_scheduler *scheduler, schedule_entry *entry, int status, const char *text)
{
    entry->previous_s = entry->firing_tick_s;
    /* Go looks for the next tick from the moment of the last one on; several that were missed are one. */
    entry->last_s = scheduler->options.independent ? floor_div(clock_now_ns(), NS_PER_SECOND) : entry->firing_tick_s;
    if (status)
        error_set(&entry->plan.enqueued.error, status, "%s", text);
    else
        record_event(scheduler, entry);
    if (status)
        log_warn(&scheduler->log, "entry %s (%s): not enqueued: %s", entry->id, entry->periodic.task.type, text);
    if (scheduler->options.post_enqueue)
        scheduler->options.post_enqueue(entry->id, &entry->periodic, &entry->plan.enqueued, scheduler->options.arg);
}

static void entry_catch_up_with(schedule_entry *entry, int64_t last_s)
{
    if (entry->last_s < last_s)
        entry->last_s = last_s;
}

static void tick_answered(asynq_scheduler *scheduler, schedule_entry *entry, const redis_value *reply)
{
    fired_tick fired = broker_fired(reply);
    scheduler_set_clock(scheduler, reply);
    switch (fired.result) {
    case TICK_OVER:
        entry_catch_up_with(entry, fired.last_s);
        break;
    case TICK_HELD_BY_OTHER:
        entry->held = false;
        show_soon(scheduler);
        break;
    default: {
        int status = broker_enqueue_status(fired.result);
        tick_finished(scheduler, entry, status, asynq_status_text(status));
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
        tick_finished(scheduler, entry, own, asynq_status_text(own));
    } else if (!status) {
        tick_answered(scheduler, entry, reply);
    } else if (is_independent) {
        tick_finished(scheduler, entry, status, error->text);
    } else {
        entry->unsure = status == ASYNQ_E_OUTCOME_UNKNOWN;
        complain(scheduler, "enqueue a periodic task", error);
    }
    entry_release(scheduler, entry);
    loop_timer_set(&scheduler->due, status && !is_independent ? TRY_AGAIN_MS : 0);
    if (scheduler->stopping)
        scheduler_advance_stop(scheduler);
}

/* User interfaces know a queue by its name in a set, which others may have removed. */
static void publish_queue(asynq_scheduler *scheduler, scheduler_queue *queue)
{
    int64_t now_ms = loop_steady_ms(scheduler->loop);
    if (queue->published_at_ms && now_ms - queue->published_at_ms < PUBLISH_AGAIN_MS)
        return;
    if (!broker_publish_queue(scheduler->conn, queue->keys.queue, NULL, NULL))
        queue->published_at_ms = now_ms;
}

static int send_tick(asynq_scheduler *scheduler, schedule_entry *entry, int64_t now_ns)
{
    scheduler_queue *queue = entry->queue;
    if (!redis_conn_is_ready(scheduler->conn))
        return ASYNQ_E_UNAVAILABLE;
    publish_queue(scheduler, queue);
    const enqueue_item *item = &entry->plan.item;
    if (scheduler->options.independent)
        return broker_enqueue(scheduler->conn, &queue->keys,
                              &(enqueue_batch){.items = &item, .count = 1, .now_ns = now_ns}, tick_replied, entry);
    return broker_fire_tick(scheduler->conn, &queue->keys,
                            &(tick_fire){.record = entry->record,
                                         .scheduler = bytes_of(scheduler->process.id),
                                         .tick_s = entry->next_s,
                                         .item = item,
                                         .now_ns = now_ns},
                            tick_replied, entry);
}

static void entry_fire(asynq_scheduler *scheduler, schedule_entry *entry)
{
    asynq_error error;
    int64_t now_ns = clock_now_ns();
    bool is_independent = scheduler->options.independent;
    if (scheduler->options.pre_enqueue)
        scheduler->options.pre_enqueue(entry->id, &entry->periodic, entry->next_s * MS_PER_SECOND,
                                       scheduler->options.arg);
    entry->firing_tick_s = entry->next_s;
    int status = schedule_entry_plan(entry, entry->next_s, !is_independent, now_ns, &error);
    if (!status) {
        status = send_tick(scheduler, entry, now_ns);
        error_set_code(&error, status);
    }
    if (!status) {
        entry->firing = true;
        entry->uses++;
        scheduler->firing++;
    } else if (is_independent) {
        tick_finished(scheduler, entry, status, error.text);
        loop_timer_set(&scheduler->due, 0);
    } else {
        complain(scheduler, "enqueue a periodic task", &error);
        loop_timer_set(&scheduler->due, TRY_AGAIN_MS);
    }
}

/* Enqueues what is due, and sets the timer for what comes next. */
static void scheduler_pump(void *arg)
{
    asynq_scheduler *scheduler = arg;
    int64_t wait_ms = LOOK_AGAIN_MS;
    settle_in(scheduler);
    if (scheduler->stopping || (!scheduler->options.independent && !redis_conn_is_ready(scheduler->conn)))
        return;
    loop_timer_set(&scheduler->due, wait_ms);
    FOR_EACH_ENTRY(scheduler, queue, entry) {
        if (!entry->held || entry->gone || entry->firing || entry->unsure || !entry->last_s)
            continue;
        int64_t own_ms = entry_choose(scheduler, entry);
        if (own_ms == 0)
            entry_fire(scheduler, entry);
        else if (own_ms > 0 && own_ms < wait_ms)
            loop_timer_set(&scheduler->due, wait_ms = own_ms);
    }
}

/* ---- holding ---- */

/* What came of a tick whose answer was lost: the record tells. */
static void resolve_unsure(asynq_scheduler *scheduler, schedule_entry *entry, const held_entry *held)
{
    entry->unsure = false;
    if (held->tick_s < entry->firing_tick_s || !bytes_equal(held->task_id, entry->plan.item.id))
        return; /* not run, or another scheduler went on: `last_s` says which */
    int status = broker_enqueue_status(held->result);
    tick_finished(scheduler, entry, status, asynq_status_text(status));
}

static void entry_held(asynq_scheduler *scheduler, schedule_entry *entry, const held_entry *held)
{
    if (held->is_held != entry->held || !entry->last_s)
        show_soon(scheduler);
    if (held->is_held && !entry->held)
        log_info(&scheduler->log, "entry %s (%s, \"%s\") is ours", entry->id, entry->periodic.task.type,
                 entry->periodic.spec);
    entry->held = held->is_held;
    if (entry->unsure)
        resolve_unsure(scheduler, entry, held);
    entry_catch_up_with(entry, held->tick_s);
    if (held->task_id.length && entry->previous_s < held->tick_s)
        entry->previous_s = held->tick_s;
    if (!entry->firing)
        entry_choose(scheduler, entry);
}

static void hold_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    hold_call *call = arg;
    asynq_scheduler *scheduler = call->scheduler;
    if (status)
        complain(scheduler, "hold periodic entries", error);
    else
        scheduler_set_clock(scheduler, reply);
    for (size_t i = 0; i < call->count; i++) {
        held_entry held = status ? (held_entry){0} : broker_held_at(reply, i);
        if (held.tick_s && !call->entries[i]->gone)
            entry_held(scheduler, call->entries[i], &held);
        entry_release(scheduler, call->entries[i]);
    }
    mem_free(call);
    if (!status)
        scheduler_pump(scheduler);
}

/* The call takes over the entries in it. `hold_ms` 0: gives them up. */
static int send_hold(asynq_scheduler *scheduler, hold_call *call, int64_t hold_ms, broker_cb cb)
{
    hold_item items[BROKER_HOLD_ENTRIES];
    for (size_t i = 0; i < call->count; i++)
        items[i] = (hold_item){call->entries[i]->record, call->entries[i]->last_s};
    return broker_hold_entries(scheduler->conn, bytes_of(scheduler->process.id), hold_ms, items, call->count, cb, call);
}

/* Sends calls for all entries. Returns how many calls are under way. */
static size_t hold_all(asynq_scheduler *scheduler, int64_t hold_ms, broker_cb cb)
{
    size_t calls = 0;
    for (scheduler_queue *queue = scheduler->queues; queue; queue = queue->next) {
        schedule_entry *entry = queue->entries;
        while (entry) {
            hold_call *call = mem_calloc(1, sizeof *call);
            if (!call)
                return calls;
            call->scheduler = scheduler;
            for (; entry && call->count < BROKER_HOLD_ENTRIES; entry = entry->next) {
                if (entry->gone)
                    continue;
                entry->uses++;
                call->entries[call->count++] = entry;
            }
            if (!send_hold(scheduler, call, hold_ms, cb)) {
                calls++;
                continue;
            }
            for (size_t i = 0; i < call->count; i++)
                call->entries[i]->uses--; /* it is not gone, or it would not be in the list */
            mem_free(call);
            return calls;
        }
    }
    return calls;
}

static void hold_fired(void *arg)
{
    asynq_scheduler *scheduler = arg;
    if (scheduler->options.independent)
        return;
    loop_timer_set(&scheduler->hold, HOLD_PERIOD_MS);
    if (redis_conn_is_ready(scheduler->conn))
        hold_all(scheduler, BROKER_HOLD_MS, hold_replied);
}

/* ---- what user interfaces see ---- */

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
        complain(arg, "show periodic entries", error);
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
        status = broker_write_entries(scheduler->conn, identity_text(&scheduler->process), records, count,
                                      clock_now_ns(), life_s, entries_shown, scheduler);
    arena_clear(&memory);
    return status;
}

static void show_fired(void *arg)
{
    asynq_scheduler *scheduler = arg;
    size_t count = 0;
    loop_timer_set(&scheduler->show, scheduler->options.heartbeat_interval_ms);
    if (!redis_conn_is_ready(scheduler->conn))
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
            log_warn(&scheduler->log, "scheduler: the list of entries could not be written");
    }
    mem_free(shown);
    mem_free(records);
}

/* ---- the connection ---- */

static void scheduler_ready(void *arg)
{
    asynq_scheduler *scheduler = arg;
    if (scheduler->stopping)
        return;
    for (scheduler_queue *queue = scheduler->queues; queue; queue = queue->next)
        queue->published_at_ms = 0;
    loop_timer_set(&scheduler->hold, 0);
    show_soon(scheduler);
}

static void scheduler_down(void *arg, const asynq_error *error)
{
    (void)error; /* logged by the connection */
    asynq_scheduler *scheduler = arg;
    if (!scheduler->options.independent)
        FOR_EACH_ENTRY(scheduler, queue, entry)
            entry->held = false;
}

/* ---- the end ---- */

static void scheduler_end(void *arg)
{
    asynq_scheduler *scheduler = arg;
    loop_timer_cancel(&scheduler->stop_limit);
    redis_conn_free(scheduler->conn);
    scheduler->conn = NULL;
    loop_stop(scheduler->loop);
}

static void cleared_one(asynq_scheduler *scheduler)
{
    if (--scheduler->clearing == 0 && scheduler->conn)
        scheduler_end(scheduler);
}

static void holds_given_up(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)status, (void)error, (void)reply; /* else the holds end by themselves */
    hold_call *call = arg;
    asynq_scheduler *scheduler = call->scheduler;
    for (size_t i = 0; i < call->count; i++)
        entry_release(scheduler, call->entries[i]);
    mem_free(call);
    cleared_one(scheduler);
}

static void list_cleared(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)status, (void)error, (void)reply; /* else it ends by itself */
    cleared_one(arg);
}

/* Waits for ticks under way; then takes back what we have in Redis; then ends. */
static void scheduler_advance_stop(asynq_scheduler *scheduler)
{
    if (scheduler->firing || scheduler->cleared || !scheduler->conn)
        return;
    scheduler->cleared = true;
    scheduler->clearing = 1; /* for this function */
    if (redis_conn_is_ready(scheduler->conn)) {
        if (!scheduler->options.independent)
            scheduler->clearing += hold_all(scheduler, 0, holds_given_up);
        else
            FOR_EACH_ENTRY(scheduler, queue, entry)
                (void)!broker_drop_history(scheduler->conn, bytes_of(entry->id), NULL,
                                           NULL); /* their ids end with us */
        bytes own = identity_text(&scheduler->process);
        scheduler->clearing += broker_clear_entries(scheduler->conn, own, list_cleared, scheduler) == 0;
    }
    cleared_one(scheduler);
}

/* ---- making, starting, ending ---- */

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
    int status = zone_load(&loaded, options->zone ? options->zone : "", error);
    if (status)
        return status;
    zone_unref(loaded);
    scheduler->zone = options->zone ? mem_strdup(options->zone) : NULL;
    return options->zone && !scheduler->zone ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
}

static void scheduler_destroy(asynq_scheduler *scheduler)
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
    mem_free(scheduler->zone);
    redis_uri_clear(&scheduler->uri);
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
    scheduler->complaint.period_ms = 3000;
    int status = option_struct_import(&scheduler->options, sizeof scheduler->options, options,
                                      sizeof scheduler->options, "asynq_scheduler_options", error);
    log_init(&scheduler->log, scheduler->options.log, scheduler->options.log_arg, scheduler->options.log_level);
    if (!status)
        status = scheduler_check_options(scheduler, error);
    if (!status)
        status = redis_uri_parse(&scheduler->uri, scheduler->options.redis, error);
    if (!status)
        status = identity_make(&scheduler->process) ? error_set_code(error, ASYNQ_E_NO_MEMORY) : ASYNQ_OK;
    if (!status)
        return scheduler;
    scheduler_destroy(scheduler);
    return NULL;
}

static void *scheduler_run_loop(void *arg)
{
    asynq_scheduler *scheduler = arg;
    loop_run(scheduler->loop);
    return NULL;
}

static int scheduler_build(asynq_scheduler *scheduler)
{
    scheduler->waker.fd = -1;
    scheduler->loop = loop_new();
    if (!scheduler->loop)
        return ASYNQ_E_NO_MEMORY;
    loop_timer_init(scheduler->loop, &scheduler->due, scheduler_pump, scheduler);
    loop_timer_init(scheduler->loop, &scheduler->hold, hold_fired, scheduler);
    loop_timer_init(scheduler->loop, &scheduler->show, show_fired, scheduler);
    loop_timer_init(scheduler->loop, &scheduler->stop_limit, scheduler_end, scheduler);
    int status = loop_waker_init(scheduler->loop, &scheduler->waker, scheduler_take_changes, scheduler);
    if (status)
        return status;
    scheduler->conn = redis_conn_new(&(redis_conn_options){
        .loop = scheduler->loop,
        .uri = &scheduler->uri,
        .log = &scheduler->log,
        .name = "asynq-scheduler",
        .events = {.ready = scheduler_ready, .down = scheduler_down, .arg = scheduler},
    });
    return scheduler->conn ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

/* After the loop has ended, or when it could not be built. */
static void scheduler_take_down(asynq_scheduler *scheduler)
{
    redis_conn_free(scheduler->conn);
    scheduler->conn = NULL;
    if (scheduler->loop)
        loop_waker_clear(&scheduler->waker);
    loop_free(scheduler->loop);
    scheduler->loop = NULL;
}

int asynq_scheduler_start(asynq_scheduler *scheduler, asynq_error *error)
{
    error_clear(error);
    int status = ASYNQ_OK;
    pthread_mutex_lock(&scheduler->lock);
    if (scheduler->status == SCHEDULER_ACTIVE)
        status = error_set(error, ASYNQ_E_STATE, "asynq: the scheduler is already running");
    else if (scheduler->status == SCHEDULER_CLOSED)
        status = error_set(error, ASYNQ_E_CLOSED, "asynq: the scheduler has already been stopped");
    if (!status) {
        status = scheduler_build(scheduler);
        if (status)
            error_set(error, status, "cannot start the scheduler: %s", asynq_status_text(status));
        else
            status = thread_start(&scheduler->thread, scheduler_run_loop, scheduler, error);
        if (status)
            scheduler_take_down(scheduler);
        else
            scheduler->status = SCHEDULER_ACTIVE;
    }
    if (!status)
        loop_waker_wake(&scheduler->waker); /* for what was registered before */
    pthread_mutex_unlock(&scheduler->lock);
    if (!status)
        log_info(&scheduler->log, "scheduler started: pid %d, id %s", (int)getpid(), scheduler->process.id);
    return status;
}

void asynq_scheduler_shutdown(asynq_scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->lock);
    bool is_running = scheduler->status == SCHEDULER_ACTIVE;
    scheduler->status = SCHEDULER_CLOSED;
    if (is_running) {
        scheduler->stop_asked = true;
        loop_waker_wake(&scheduler->waker);
    }
    pthread_mutex_unlock(&scheduler->lock);
    if (!is_running)
        return;
    pthread_join(scheduler->thread, NULL);
    pthread_mutex_lock(&scheduler->lock); /* a late asynq_scheduler_unregister() may want to wake the loop */
    scheduler_take_down(scheduler);
    pthread_mutex_unlock(&scheduler->lock);
    log_info(&scheduler->log, "scheduler ended");
}

void asynq_scheduler_free(asynq_scheduler *scheduler)
{
    if (!scheduler)
        return;
    asynq_scheduler_shutdown(scheduler);
    scheduler_destroy(scheduler);
}

int asynq_scheduler_run(asynq_scheduler *scheduler, asynq_error *error)
{
    sigset_t wanted, before;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    pthread_sigmask(SIG_BLOCK, &wanted, &before);
    int status = asynq_scheduler_start(scheduler, error);
    if (!status) {
        while (sigwaitinfo(&wanted, NULL) < 0)
            ; /* interrupted by a signal that is not ours */
        asynq_scheduler_shutdown(scheduler);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* ---- registration ---- */

int asynq_scheduler_register(asynq_scheduler *scheduler, const asynq_periodic *given, char id[ASYNQ_ENTRY_ID_SIZE],
                             asynq_error *error)
{
    error_clear(error);
    schedule_entry *entry, *other;
    int status = schedule_entry_new(&entry, given, scheduler->zone, scheduler->options.independent, error);
    if (status)
        return status;
    entry->owner = scheduler;
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
        if (id)
            memcpy(id, entry->id, ASYNQ_ENTRY_ID_SIZE);
        DL_APPEND(scheduler->arrivals, entry);
        if (scheduler->loop)
            loop_waker_wake(&scheduler->waker);
    }
    pthread_mutex_unlock(&scheduler->lock);
    if (status)
        schedule_entry_free(entry);
    return status;
}

int asynq_scheduler_unregister(asynq_scheduler *scheduler, const char *id, asynq_error *error)
{
    error_clear(error);
    schedule_entry *entry;
    pthread_mutex_lock(&scheduler->lock);
    HASH_FIND_STR(scheduler->by_id, id, entry);
    if (entry) {
        HASH_DEL(scheduler->by_id, entry);
        entry->next_departure = scheduler->departures;
        scheduler->departures = entry;
        if (scheduler->loop)
            loop_waker_wake(&scheduler->waker);
    }
    pthread_mutex_unlock(&scheduler->lock);
    return entry ? ASYNQ_OK : error_set(error, ASYNQ_E_NOT_FOUND, "asynq: no scheduler entry found: %.64s", id);
}
