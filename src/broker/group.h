/*
 * Groups of tasks and their aggregation (spec 7.5). A group's tasks are moved into a set of their own, which the list
 * of aggregation sets names with the time until which the one who took it may work on it; then it goes back.
 *
 * A finished set with many tasks is renamed and cleared in steps.
 *
 *   g:<group> --take, when it is time--> g:<group>:<set id> --finish--> one new task, and these are deleted
 *      ^                                        |
 *      +------------- reclaim, when its time is over
 *
 * Calls and callbacks are as in broker.h.
 */
#ifndef BROKER_GROUP_H
#define BROKER_GROUP_H

#include "broker/broker.h"

enum {
    BROKER_AGGREGATION_S = 120, /* to work on a set */
    BROKER_RECLAIM_SETS = 16,   /* in one call */
    BROKER_LOOK_GROUPS = 100    /* the same */
};

/* When a group is aggregated; whole seconds, as in Asynq. */
typedef struct group_limits {
    int64_t grace_s;     /* since the newest task */
    int64_t max_delay_s; /* since the oldest; 0: none */
    int64_t max_size;    /* at once, and tasks of one set; 0: none */
} group_limits;

/* Appends the name of a set. `set_id` has no colon. */
void group_append_set_name(buf *out, const queue_keys *keys, bytes group, bytes set_id);

/* A part of the groups, and when they are due. reply: broker_looked_...(), broker_group_cursor(). */
ASYNQ_MUST_CHECK int broker_look_groups(const broker *b, const queue_keys *keys, bytes cursor,
                                        const group_limits *limits, broker_cb cb, void *arg);

typedef struct due_group {
    bytes name;
    int64_t due_s; /* if no other task joins; 0: at once */
} due_group;

bool broker_look_is_sound(const redis_value *reply); /* else it is not that script's, and tells nothing */
size_t broker_looked_groups(const redis_value *reply);
due_group broker_looked_group(const redis_value *reply, size_t index);
bytes broker_group_cursor(const redis_value *reply);
bool broker_group_cursor_ends(const redis_value *reply); /* that was all */

/* Moves a group's tasks into a new set if it is time. reply: broker_taken_group(). */
ASYNQ_MUST_CHECK int broker_take_group(const broker *b, const queue_keys *keys, bytes group, bytes set,
                                       const group_limits *limits, int64_t now_ns, broker_cb cb, void *arg);

typedef struct taken_group {
    int64_t taken, left;
    int64_t due_s;   /* when it will be time for those left if no other joins; 0: at once */
    bool wants_more; /* the set is not complete: call again with the same set */
} taken_group;

taken_group broker_taken_group(const redis_value *reply);

/* Tasks at places [first, last] of a set. reply: broker_set_size(), _count(), _task(). */
ASYNQ_MUST_CHECK int broker_read_set(const broker *b, const queue_keys *keys, bytes set, int64_t first, int64_t last,
                                     broker_cb cb, void *arg);
int64_t broker_set_size(const redis_value *reply); /* of the whole set; 0: there is none */
size_t broker_set_count(const redis_value *reply); /* of what was read */
/* Its message is empty if it is missing. */
leased_task broker_set_task(const redis_value *reply, size_t index);

enum { SET_TAKEN_BACK = 2 }; /* beside the values of enqueue_result */

/*
 * Enqueues `item` (NULL: nothing) in place of the tasks of the set. reply: an integer, ENQUEUE_CREATED if it was done;
 * otherwise the set stays.
 */
ASYNQ_MUST_CHECK int broker_finish_set(const broker *b, const queue_keys *keys, bytes set, const enqueue_item *item,
                                       int64_t now_ns, broker_cb cb, void *arg);

/* Deletes a part of the tasks of sets that were finished and are large. reply: 1 if there is more to do. */
ASYNQ_MUST_CHECK int broker_clear_set(const broker *b, const queue_keys *keys, broker_cb cb, void *arg);

/* Takes back sets whose time is over, or a part of one. reply: broker_reclaim...(). */
ASYNQ_MUST_CHECK int broker_reclaim_sets(const broker *b, const queue_keys *keys, int64_t now_ns, broker_cb cb,
                                         void *arg);
bool broker_reclaim_goes_on(const redis_value *reply); /* there is more to do */
size_t broker_reclaimed_count(const redis_value *reply);
bytes broker_reclaimed_set(const redis_value *reply, size_t index); /* its name */

#endif
