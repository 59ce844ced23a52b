/*
 * What a person does to queues: looking at them, and moving tasks by hand. Like broker.h, one function per command,
 * same results and rules; only broker_steer(), broker_restore() and broker_update_message() change tasks.
 */
#ifndef BROKER_INSPECT_H
#define BROKER_INSPECT_H

#include "broker/broker.h"

#include <asynq/inspector.h>

enum {
    BROKER_FIND_PLACES = 2000,
    BROKER_STEER_TASKS = 64,         /* in one script: about half a millisecond of Redis */
    BROKER_MEMORY_SAMPLE_TASKS = 20, /* as Asynq does */
    BROKER_MEMORY_SAMPLE_GROUPS = 5
};

/* ---- queues ---- */

typedef struct queue_counts {
    int64_t pending, active, scheduled, retry, archived, completed, groups;
    bool paused;
    int64_t processed_total, failed_total, processed, failed; /* the latter two today (UTC) */
    int64_t in_aggregation;                                   /* taken out of their groups */
    int64_t next_pending_since_ns;                            /* 0: unknown, or nothing is pending */
} queue_counts;

/* reply: see broker_queue_counts(). */
ASYNQ_MUST_CHECK int broker_queue_info(const broker *b, const queue_keys *keys, int64_t now_ns, broker_cb cb,
                                       void *arg);
queue_counts broker_queue_counts(const redis_value *reply);

/* reply: an integer, the bytes that the queue takes in Redis, estimated. */
ASYNQ_MUST_CHECK int broker_queue_memory(const broker *b, const queue_keys *keys, int64_t tasks_in_groups, broker_cb cb,
                                         void *arg);

/* A part of the groups. reply: the next cursor (0: that was all), then name and size of each. */
ASYNQ_MUST_CHECK int broker_group_sizes(const broker *b, const queue_keys *keys, bytes cursor, broker_cb cb, void *arg);

/* reply: 1, or 0 if there are tasks. */
ASYNQ_MUST_CHECK int broker_drop_queue(const broker *b, const queue_keys *keys, int64_t now_ns, broker_cb cb,
                                       void *arg);

/* ---- tasks ---- */

/* Where tasks of one state stand. */
typedef struct task_place {
    bytes key;
    bool is_list;
    bytes lease; /* the lease set, for active tasks; else empty */
} task_place;

typedef struct listed_task {
    bytes id;
    bytes score_text; /* empty in a list */
    double score;
    bytes message;         /* data NULL: none */
    bytes result;          /* empty: none */
    int64_t pending_since; /* Unix ns; 0: unknown */
    double lease;          /* end of the lease; 0: none */
    int64_t losses;        /* 0 in a list */
} listed_task;

typedef struct list_call {
    task_place place;
    bool oldest_first; /* turns a list around: its right end is the oldest; sets always begin with the lowest score */
    int64_t first;     /* rank, from 0 */
    int64_t count;
    const bytes
        *after; /* what follows these tasks, which stood directly before `first`; they may have moved or gone. */
    size_t after_count; /* Of a set the last one is enough. Not for oldest_first in a list */
    bytes after_score;  /* of the last one, in a set */
} list_call;

/* reply: see broker_listed_...(). */
ASYNQ_MUST_CHECK int broker_list_tasks(const broker *b, const queue_keys *keys, const list_call *call, broker_cb cb,
                                       void *arg);
int64_t broker_listed_first(const redis_value *reply); /* rank of the first task in the reply */
size_t broker_listed_count(const redis_value *reply);
listed_task broker_listed_at(const redis_value *reply, size_t index);

typedef struct found_task {
    bytes state; /* as the hash says */
    listed_task task;
} found_task;

/* reply: see broker_found_task(); nil if there is no such task. */
ASYNQ_MUST_CHECK int broker_find_task(const broker *b, const queue_keys *keys, bytes id, broker_cb cb, void *arg);
bool broker_found_task(const redis_value *reply, found_task *found);

typedef enum steer_result {
    STEER_OK = 1,
    STEER_NO_TASK = 0,
    STEER_ACTIVE = -1,
    STEER_PENDING_ALREADY = -2,
    STEER_ARCHIVED_ALREADY = -3,
    STEER_MISPLACED = -4, /* it does not stand where its state says */
    STEER_BAD_STATE = -5,
    STEER_TO_BE_SOUGHT = -6 /* it is pending, and nobody knows where: broker_find_pending() tells */
} steer_result;

typedef struct steer_call {
    asynq_action action;
    int64_t now_ns;
    const bytes *ids; /* these tasks; or NULL: */
    int64_t near;     /* if they are pending: about the rank of the first; below 0: unknown */
    size_t count;     /* so many, at most BROKER_STEER_TASKS, */
    task_place place; /* of those that stand here, oldest or lowest score first, */
    size_t skip;      /* passing over so many */
} steer_call;

/* reply: tasks that were dropped from a full archive, then a steer_result for each task. */
ASYNQ_MUST_CHECK int broker_steer(const broker *b, const queue_keys *keys, const steer_call *call, broker_cb cb,
                                  void *arg);

/* Searches BROKER_FIND_PLACES places of the pending tasks from a rank on. reply: see below. */
ASYNQ_MUST_CHECK int broker_find_pending(const broker *b, const queue_keys *keys, bytes id, int64_t first, broker_cb cb,
                                         void *arg);
int64_t broker_pending_count(const redis_value *reply);
int64_t broker_found_rank(const redis_value *reply); /* below 0: it is not there */

typedef enum update_result {
    UPDATE_OK = 1,
    UPDATE_NO_TASK = 0,
    UPDATE_NOT_SCHEDULED = -1,
    UPDATE_RACE = -2
} update_result;

/* reply: an update_result. */
ASYNQ_MUST_CHECK int broker_update_message(const broker *b, const queue_keys *keys, bytes id, bytes before, bytes after,
                                           broker_cb cb, void *arg);

typedef struct restored_task {
    bytes id;
    task_place place;
    int64_t at_ms; /* Unix ms, for places that are sets */
    bytes state;
    bytes message;
    bytes result; /* empty: none */
    bytes group;
    int64_t pending_since_ns; /* for pending tasks */
} restored_task;

/* Writes a task as it was. reply: 1, or 0 if the id exists. */
ASYNQ_MUST_CHECK int broker_restore(const broker *b, const queue_keys *keys, const restored_task *task, broker_cb cb,
                                    void *arg);

/* ---- records ---- */

/* reply: the names of the records in `index` (GLOBAL_KEY_SERVERS, _WORKERS or _SCHEDULERS) that live. */
ASYNQ_MUST_CHECK int broker_list_alive(const broker *b, global_key index, int64_t now_ns, broker_cb cb, void *arg);

/* One plain command of words. */
ASYNQ_MUST_CHECK int broker_command(const broker *b, const bytes *words, size_t count, broker_cb cb, void *arg);

#endif
