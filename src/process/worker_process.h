/*
 * One worker process: a child that is told of tasks in frames, its tasks, and its end. It belongs to its pool, which
 * frees it when it has been told that it is gone. Thread: that of the daemon's loop.
 */
#ifndef PROCESS_WORKER_PROCESS_H
#define PROCESS_WORKER_PROCESS_H

#include "event/timer.h"
#include "handler/handler.h"
#include "handler/line_limit.h"
#include "handler/text_tail.h"
#include "process/child.h"
#include "process/frame_link.h"
#include "process/worker_options.h"

typedef struct worker_process worker_process;

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
    frame_link link;
    loop_timer start_limit, look, kill;
    text_tail error;
    line_limit lines; /* of what it says, in whatever way */
    worker_task *tasks;
    size_t task_count, capacity;
    int64_t done; /* tasks that it has ended */
    int64_t last_call;
    char name[64];     /* as it calls itself */
    bool is_told;      /* to end, which it may do too slowly, so that it is killed */
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
