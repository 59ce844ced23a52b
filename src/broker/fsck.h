/* What fsck asks of Redis. Only broker_check_tasks() and broker_check_keys() change anything, and only to repair. */
#ifndef BROKER_FSCK_H
#define BROKER_FSCK_H

#include "broker/broker.h"

enum {
    BROKER_LOOK_TASKS = 100, /* in one script: about half a millisecond of Redis */
    BROKER_CHECK_TASKS = 16,
    BROKER_CHECK_KEYS = 32,
    BROKER_QUARANTINE_LIFE_S = 90 * 24 * 3600
};

typedef struct member_walk {
    bytes container;
    bool is_list, tells_all;
    const char *state;   /* of tasks that stand there */
    bytes from;          /* "0", then what the last reply says, */
    const bytes *before; /* and the ids that it told, if it is a list */
    size_t before_count;
} member_walk;

/*
 * reply: where to go on ("0": that was all), then id and 1 or 0 (suspect or not) of each task, or only
 * of suspects.
 */
ASYNQ_MUST_CHECK int broker_look_members(const broker *b, const queue_keys *keys, const member_walk *walk, broker_cb cb,
                                         void *arg);

typedef enum look_verdict { LOOK_GONE, LOOK_FINE, LOOK_SUSPECT, LOOK_IN_LIST } look_verdict;

/* reply: verdict and message (nil: none) of each task. LOOK_IN_LIST: fine, if it stands in `pending` or `active`. */
ASYNQ_MUST_CHECK int broker_look_tasks(const broker *b, const queue_keys *keys, const bytes *ids, size_t count,
                                       broker_cb cb, void *arg);

typedef struct task_suspect {
    bytes id;
    bytes container;  /* where it was seen; empty: nowhere */
    bool is_repeated; /* seen there twice */
    bool is_in_list;  /* it may stand in a list that its state does not name; searching takes long */
    bool is_bad;      /* its message is unreadable, namely this: */
    bytes message;
    bytes group;        /* as the message says */
    int64_t keep_until; /* end of its retention as the message says, Unix seconds; 0: not completed */
} task_suspect;

/* What the replies below hold for each suspect. Texts are empty, never absent. */
typedef struct check_result {
    bytes fault; /* empty: nothing is wrong */
    bytes where; /* where it stands, or details */
    bytes state;
    bytes repaired; /* what was done */
} check_result;

ASYNQ_MUST_CHECK int broker_check_tasks(const broker *b, const queue_keys *keys, const task_suspect *suspects,
                                        size_t count, int64_t now_ns, bool repair, broker_cb cb, void *arg);
check_result broker_checked_task(const redis_value *reply, size_t index);

typedef struct key_suspect {
    bytes name;
    const char *kind; /* see check-keys.lua */
    const char *type; /* "": any */
    int64_t life_s;   /* 0: for ever */
} key_suspect;

ASYNQ_MUST_CHECK int broker_check_keys(const broker *b, const queue_keys *keys, const key_suspect *suspects,
                                       size_t count, int64_t now_ns, bool repair, broker_cb cb, void *arg);
check_result broker_checked_key(const redis_value *reply, size_t index);

/* reply: the next cursor, then names. `pattern` is one of Redis's, `node` a place among those of redis_nodes_get(). */
ASYNQ_MUST_CHECK int broker_scan(const broker *b, size_t node, bytes cursor, bytes pattern, int64_t count, broker_cb cb,
                                 void *arg);

#endif
