/*
 * The scheduler from inside: a thread with a loop and a connection, which owns everything here but what is under the
 * lock. Callers only put entries into two lists and wake the thread: registry.h.
 *
 *   arrivals --> entries of a queue --holding.c--> held ones --firing.c: a tick is due--> last tick, next tick
 *                                        ^                         |
 *                                        +-- outcome unknown: the record tells
 *
 * An independent scheduler holds nothing; every entry is its own, and it enqueues as a client does. showing.c tells
 * user interfaces; scheduler.c begins and ends.
 */
#ifndef SCHEDULE_SCHEDULER_H
#define SCHEDULE_SCHEDULER_H

#include "base/log.h"
#include "broker/publish.h"
#include "event/timer.h"
#include "redis/engine.h"
#include "schedule/entry.h"
#include "schedule/provided.h"
#include "schedule/schedule_file.h"
#include "wire/identity.h"

enum { SCHEDULER_TRY_AGAIN_MS = 1000 };

typedef enum scheduler_status { SCHEDULER_NEW, SCHEDULER_ACTIVE, SCHEDULER_CLOSED } scheduler_status;

typedef struct scheduler_queue {
    struct scheduler_queue *next;
    struct asynq_scheduler *owner;
    queue_keys keys;
    schedule_entry *entries;
    queue_publication publication;
    asynq_error publish_error; /* of the last attempt; to be told by the next entry that is due */
} scheduler_queue;

struct asynq_scheduler {
    asynq_scheduler_options options;
    const asynq_sizes *sizes; /* of the program's structs, for its functions; NULL: as ours */
    char *zone;
    redis_uri uri;
    key_space space;
    log_sink log;
    identity process;
    provided provided;
    schedule_file *file; /* the provider's argument, if it is ours */

    /* Shared with callers, under the lock. */
    pthread_mutex_t lock;
    scheduler_status status;
    bool stop_asked;
    asynq_error connection_error; /* why there is no connection; code 0: there is one, or it is not known yet */
    schedule_entry *by_id;
    schedule_entry *arrivals, *departures;

    /* The thread's. */
    engine engine;
    loop *loop;    /* the engine's */
    broker broker; /* on the engine's connection, which is NULL when it has ended */
    scheduler_queue *queues;
    schedule_entry *stranded; /* arrived when there was no memory for their queue */
    loop_timer due, hold, show, stop_limit;
    int64_t clock_offset_ms; /* Redis's clock less our steady one */
    size_t firing;           /* ticks under way */
    size_t clearing;         /* calls of the end under way */
    bool stopping, cleared;
    log_limit complaint;
};

#define FOR_EACH_ENTRY(scheduler, queue, entry)                                                                        \
    for (scheduler_queue *queue = (scheduler)->queues; queue; queue = queue->next)                                     \
        for (schedule_entry *entry = queue->entries; entry; entry = entry->next)

/* ---- scheduler.c ---- */
/* Logs "scheduler: cannot <what>", not too often; a lost connection has a line of its own. */
void scheduler_complain(asynq_scheduler *scheduler, const char *what, const asynq_error *error);
void scheduler_advance_stop(asynq_scheduler *scheduler);

/* ---- firing.c ---- */
/* Enqueues what is due, and sets the timer for what comes next. */
void firing_pump(void *scheduler);
void firing_init_queue(asynq_scheduler *scheduler, scheduler_queue *queue);
/* Finds the next tick. Returns how long it is until it must be enqueued, in ms; below 0: never. */
int64_t firing_choose(asynq_scheduler *scheduler, schedule_entry *entry);
/* The tick that was under way is over, by us. */
void firing_finished(asynq_scheduler *scheduler, schedule_entry *entry, int status, const char *text);
/* Takes the time from a reply. */
void firing_set_clock(asynq_scheduler *scheduler, const redis_value *reply);

/* ---- holding.c ---- */
/* Tries to hold all entries, now and from now on. */
void holding_fired(void *scheduler);
void holding_lost(asynq_scheduler *scheduler);
/* Gives all up. Returns how many calls are under way; each ends with `done`. */
size_t holding_give_up(asynq_scheduler *scheduler, void (*done)(asynq_scheduler *scheduler));

/* ---- showing.c ---- */
/* Writes the list, now and from now on. */
void showing_fired(void *scheduler);
void showing_soon(asynq_scheduler *scheduler);

#endif
