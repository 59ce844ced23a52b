/*
 * Pools of worker processes: children that are started before there is work, and get one task after the other.
 *
 *   waiting calls --> worker_pool.c: which process --> worker_process.c: one child, its frames and its end
 *   worker_options.c: what a configuration says; worker_program.c: whether a program has changed
 *
 * A pool takes as many tasks as its processes have places for, and a few ahead; the others stay in their queues, see
 * admission.h. A process that crashes takes only its own tasks with it. A program that cannot be started costs no task
 * an attempt: they stay pending while the pool tries again, ever more slowly.
 */
#ifndef HANDLER_WORKER_POOL_H
#define HANDLER_WORKER_POOL_H

#include "event/timer.h"
#include "event/watch.h"
#include "handler/admission.h"
#include "handler/command.h"
#include "handler/handler.h"
#include "handler/output.h"

typedef struct worker_pool worker_pool;
typedef struct worker_process worker_process;

typedef struct worker_options {
    const char *name;   /* of the pool */
    const char *origin; /* "asynqd.yaml:12: workers.python: "; NULL: it is made by us */
    setting_list argv, watch;
    int64_t size, most_tasks, recycle_after, recycle_memory, most_memory;
    int64_t start_timeout_ms, silence_ms, grace_ms, most_error, most_result;
    process_options process;

    uint64_t stamp; /* of its program; made by worker_program_prepare() */
} worker_options;

typedef struct worker_list {
    worker_options *items;
    size_t count, capacity;
} worker_list;

extern const setting worker_pool_table[];
extern const handler_kind handler_worker;

/* The `read` of a setting of kind OTHER: a mapping of names to pools. */
int worker_list_read(settings *file, settings_node *node, worker_list *list, asynq_error *error);

/* True if the same pools would be made of both, with whatever programs. */
bool worker_list_is_same(const worker_list *a, const worker_list *b);

/* What a route says: which pool. */
typedef struct worker_route {
    const char *pool;
    output_options output;
    const char *origin; /* "asynqd.yaml:12", for complaints */
} worker_route;

/* All pools of a configuration; handlers find theirs by name. NULL: out of memory. */
typedef struct worker_pools worker_pools;
worker_pools *worker_pools_new(handler_host *host, const worker_list *list);
/*
 * Replaces the processes of each pool whose program is not what it was, one after the other: a new one is ready before
 * an old one takes no more tasks, and that one ends when it has ended those that it has. `list` is of the same pools.
 */
void worker_pools_refresh(worker_pools *pools, const worker_list *list);
/* The same for one pool, whether or not its program has changed. False: there is none of this name. */
bool worker_pools_restart(worker_pools *pools, const char *name);
/* Ends all processes; `done` is called when they are gone. No calls may be under way. */
void worker_pools_stop(worker_pools *pools, void (*done)(void *arg), void *arg);
/* Accepts NULL. */
void worker_pools_free(worker_pools *pools);

/* Hands a call to a pool, for handlers that end there; handler_worker.cancel() takes it back. */
void worker_pool_begin(handler_call *call, const char *pool);

/* What the tasks of a pool take up. NULL: there is no such pool. */
asynq_capacity *worker_pool_capacity(const handler_host *host, const char *name);

/* For metrics. */
typedef struct worker_pool_state {
    const char *name;
    size_t size; /* as it is configured */
    size_t processes, ready, running, waiting;
    uint64_t started, crashed;
    double cpu_s;           /* of all its processes, as far as somebody has noted it in them */
    int64_t resident_bytes; /* of those that run */
} worker_pool_state;
size_t worker_pools_count(const worker_pools *pools);
worker_pool_state worker_pools_state(const worker_pools *pools, size_t index);
/* Visits all processes, and returns how many there are; `visit` may be NULL. */
size_t worker_pools_each(worker_pools *pools, void (*visit)(worker_process *process, void *arg), void *arg);

/* ---- worker_program.c, for worker_options.c ---- */

/*
 * Looks at the files that a program is made of: those of argv that there are, argv[0] as it would be found, and what
 * `watch` names. Sets `stamp`, which is another one when one of them has changed. Returns 0, or a complaint about
 * `watch`.
 */
int worker_program_prepare(settings *file, settings_node *node, worker_options *options, asynq_error *error);
/* Likewise, without `watch`. */
uint64_t worker_program_stamp(const worker_options *options);

/* ---- worker_process.c, for worker_pool.c ---- */

typedef enum worker_state {
    WORKER_STARTING, /* no hello yet */
    WORKER_READY,
    WORKER_DRAINING, /* takes no more tasks; ends when it has none */
    WORKER_ENDING,   /* told to end */
} worker_state;

/* A task that a process has. */
typedef struct worker_task {
    handler_call *call; /* NULL: its job was given up, and the process has not ended it yet */
    worker_process *process;
    int64_t number;
    loop_timer kill; /* it was cancelled: the process is killed if it does not end it */
    struct worker_task *prev, *next;
} worker_task;

typedef struct worker_events {
    void (*ready)(worker_process *process, void *arg);
    void (*has_room)(worker_process *process, void *arg);
    /* It is gone; `reason` is why it could not start, or NULL. The process is freed afterwards by the pool. */
    void (*gone)(worker_process *process, const char *reason, void *arg);
    void *arg;
} worker_events;

struct worker_process {
    const worker_options *options;
    handler_host *host;
    worker_events events;
    worker_state state;
    child *child;
    int number;
    int edition; /* of the program that it runs, as the pool counts them */
    int fd;
    loop_watch watch;
    buf in, out;
    size_t out_sent;
    loop_timer start_limit, look, kill;
    text_tail error;
    worker_task *tasks;
    size_t task_count, capacity;
    int64_t done; /* tasks that it has ended */
    int64_t last_call, heard_at_ms;
    char name[64];     /* as it calls itself */
    const char *fault; /* why we killed it; NULL: we did not */
    char fault_text[256];
    double cpu_s; /* these two as somebody has noted them */
    int64_t resident_bytes;
    worker_process *prev, *next;
};

worker_process *worker_process_start(handler_host *host, const worker_options *options, int number,
                                     const worker_events *events, asynq_error *error);
void worker_process_free(worker_process *process);
/* Gives it a task; there must be room. False: the task cannot be sent, and was ended. */
bool worker_process_give(worker_process *process, handler_call *call);
bool worker_process_has_room(const worker_process *process);
/* The job of this task is over for us. */
void worker_process_cancel(worker_process *process, handler_call *call);
/* Has it end when it has no tasks. */
void worker_process_drain(worker_process *process);

#endif
