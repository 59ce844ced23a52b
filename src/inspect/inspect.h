/*
 * The inspector from inside. Calls are written straight down: a loop sends a command of the broker and waits, as often
 * as the connection makes it necessary.
 *
 *     inspect_call call = inspect_begin(inspector, INSPECT_READ, error);
 *     while (inspect_again(&call))
 *         call.sent = broker_...(&inspector->broker, ..., inspect_replied, inspector);
 *     if (call.status)
 *         return call.status;          // `error` is filled
 *     ... call.reply ...               // until the next call
 */
#ifndef INSPECT_INSPECT_H
#define INSPECT_INSPECT_H

#include "base/log.h"
#include "broker/inspect.h"
#include "event/timer.h"
#include "redis/engine.h"

#include <asynq/inspector.h>

struct asynq_inspector {
    asynq_inspector_options options;
    int64_t timeout_ms; /* of the calls that follow */
    redis_uri uri;
    key_space space;
    log_sink log;
    engine engine;    /* without a thread: calls run its loop */
    broker broker;    /* on the engine's connection */
    loop_timer limit; /* of the wait under way */
    asynq_error connection_error;

    /* The answer to the command under way. */
    bool answered;
    int status;
    asynq_error error;
    arena reply_memory;
    const redis_value *reply;
};

/* What a call found. */
struct asynq_memory {
    arena arena;
};

asynq_memory *inspect_memory_new(void);
/* Accepts NULL. */
void inspect_memory_free(asynq_memory *memory);

typedef enum inspect_kind {
    INSPECT_READ, /* may be repeated */
    INSPECT_CHANGE
} inspect_kind;

typedef struct inspect_call {
    asynq_inspector *inspector;
    inspect_kind kind;
    int64_t give_up_at_ms; /* steady clock */
    bool has_sent, is_refused;
    int sent;
    asynq_error *user_error;

    int status;
    const redis_value *reply;
} inspect_call;

inspect_call inspect_begin(asynq_inspector *inspector, inspect_kind kind, asynq_error *error);
bool inspect_again(inspect_call *call);
/* The broker_cb of all commands. `arg` is the inspector. */
void inspect_replied(void *arg, int status, const asynq_error *error, const redis_value *reply);

/* One plain command of words. The reply lives until the next call. */
ASYNQ_MUST_CHECK int inspect_command(asynq_inspector *inspector, inspect_kind kind, const bytes *words, size_t count,
                                     const redis_value **reply, asynq_error *error);

/* Checks the name of a queue and makes its keys, which the caller clears. */
ASYNQ_MUST_CHECK int inspect_keys(const asynq_inspector *inspector, queue_keys *keys, const char *queue,
                                  asynq_error *error);
/* The same for a queue that must exist. */
ASYNQ_MUST_CHECK int inspect_queue_keys(asynq_inspector *inspector, queue_keys *keys, const char *queue,
                                        asynq_error *error);

/* asynq_inspector_servers(), also without what they run, which may be long. */
ASYNQ_MUST_CHECK int inspect_servers(asynq_inspector *inspector, bool with_workers, asynq_server_list *servers,
                                     asynq_error *error);

/* ---- tasks ---- */

/* Where the tasks of a set stand. `place` borrows from `keys` and from `group_key`, which the caller clears. */
ASYNQ_MUST_CHECK int inspect_place(const queue_keys *keys, const asynq_task_set *set, buf *group_key, task_place *place,
                                   asynq_error *error);

/* Makes a task for the caller out of what Redis has. False: out of memory. */
ASYNQ_MUST_CHECK bool inspect_task(const queue_keys *keys, asynq_state state, const listed_task *listed, int64_t now_ns,
                                   arena *into, asynq_task_info *info);

/* ---- walking over a set (walk.c) ---- */

typedef struct walk {
    asynq_inspector *inspector;
    asynq_walk_options options;
    asynq_task_filter filter;
    int64_t total, seen; /* tasks at the beginning, and those passed by */
    queue_keys keys;
    buf group_key;
    task_place place;
    asynq_state state;
    int64_t rank; /* of the chunk that is visited, as it was read */
    int64_t max;  /* tasks to ask for next, by the size of their messages */
} walk;

/* The queue must exist. `options` may be NULL. */
ASYNQ_MUST_CHECK int walk_begin(walk *w, asynq_inspector *inspector, const asynq_task_set *set,
                                const asynq_walk_options *options, asynq_error *error);
void walk_end(walk *w);

/* Counts the tasks that are there; walk_go_on() tells progress against that. */
ASYNQ_MUST_CHECK int walk_count(walk *w, asynq_error *error);
/* So many more were passed by. False: the caller wants to stop. */
bool walk_go_on(walk *w, size_t passed);
/* Whether the task meets the filter. Counts those that are passed over because their time is not known. */
bool walk_accepts(walk *w, const asynq_task_info *task);

/* What a visitor of a chunk did. */
typedef struct walk_answer {
    int status;     /* not 0: stop with it */
    bool stop;      /* stop without an error */
    size_t removed; /* tasks of the chunk that have left the set by the visitor's doing */
} walk_answer;

/* `tasks` live during the call, which may use the inspector. */
typedef walk_answer (*walk_cb)(void *arg, const asynq_task_info *tasks, size_t count, asynq_error *error);

ASYNQ_MUST_CHECK int walk_each(walk *w, walk_cb visit, void *arg, asynq_error *error);

#endif
