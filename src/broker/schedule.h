/*
 * Periodic tasks in Redis: what user interfaces see of schedulers (spec 7.8), and the records by which schedulers of
 * ours agree on who enqueues what. A record stands in the slot of its entry's queue, so that one script both ends a
 * tick and enqueues its task:
 *
 *   asynq:{<queue>}:libasynq:entry:<id>   hash: tick    the last tick that is over (Unix s); it never goes back
 *                                               holder  the scheduler that enqueues the next ones
 *                                               until   the end of its hold (Unix ms, Redis's clock)
 *                                               task, result   of the last tick, for a scheduler that lost the answer
 *
 * Calls and callbacks are as in broker.h.
 */
#ifndef BROKER_SCHEDULE_H
#define BROKER_SCHEDULE_H

#include "broker/broker.h"

enum {
    BROKER_HOLD_MS = 6000,
    BROKER_ENTRY_LIFE_S = 90 * 24 * 3600, /* of a record since a scheduler last had the entry */
    BROKER_HOLD_ENTRIES = 256,            /* in one call */
    BROKER_HISTORY_MAX = 1000,
    BROKER_HISTORY_LIFE_S = 90 * 24 * 3600
};

typedef struct hold_item {
    bytes record; /* key */
    int64_t known_tick_s;
} hold_item;

typedef struct held_entry {
    int64_t tick_s;
    bool is_held;
    bytes task_id; /* of that tick; empty: it was before the records, or is the beginning */
    int result;    /* an enqueue_result */
} held_entry;

/* Takes, keeps or, with `hold_ms` 0, gives up entries of one queue. reply: see below. */
ASYNQ_MUST_CHECK int broker_hold_entries(const broker *b, bytes scheduler, int64_t hold_ms, const hold_item *items,
                                         size_t count, broker_cb cb, void *arg);
held_entry broker_held_at(const redis_value *reply, size_t index);

typedef struct tick_fire {
    bytes record;
    bytes scheduler;
    int64_t tick_s;
    const enqueue_item *item;
    int64_t now_ns;
} tick_fire;

enum { TICK_OVER = 2, TICK_HELD_BY_OTHER = 3 }; /* beside the values of enqueue_result */

/* reply: broker_fired(). */
ASYNQ_MUST_CHECK int broker_fire_tick(const broker *b, const queue_keys *keys, const tick_fire *fire, broker_cb cb,
                                      void *arg);

typedef struct fired_tick {
    int64_t last_s; /* the last tick before */
    int result;
} fired_tick;

fired_tick broker_fired(const redis_value *reply);

/* Redis's clock in a reply of the two above, Unix ms. */
int64_t broker_schedule_clock_ms(const redis_value *reply);

/* Adds an event to the history of an entry. */
ASYNQ_MUST_CHECK int broker_record_tick(const broker *b, bytes entry_id, bytes event, int64_t at_s, broker_cb cb,
                                        void *arg);
ASYNQ_MUST_CHECK int broker_drop_history(const broker *b, bytes entry_id, broker_cb cb, void *arg);

/* Rewrites the list of a scheduler's entries and the place where it is found. `identity`: host:pid:id. */
ASYNQ_MUST_CHECK int broker_write_entries(const broker *b, bytes identity, const bytes *entries, size_t count,
                                          int64_t now_ns, int64_t life_s, broker_cb cb, void *arg);
ASYNQ_MUST_CHECK int broker_clear_entries(const broker *b, bytes identity, broker_cb cb, void *arg);

#endif
