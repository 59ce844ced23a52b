/*
 * Handlers that need no C from their users. Tasks come from the server's loop and are run on the daemon's:
 *
 *   server's loop --relay.c--> handler_call --begin()--> http/, process/ --handler_end()--> server's loop
 *
 * One loop carries thousands of calls at once, as nothing here blocks. Thread: that of the daemon's loop, except where
 * "any" is said.
 */
#ifndef HANDLER_HANDLER_H
#define HANDLER_HANDLER_H

#include "base/log.h"
#include "base/settings.h"
#include "event/loop.h"
#include "handler/template.h"

#include <asynq/server.h>
#include <stdatomic.h>

typedef struct handler_call handler_call;
typedef struct handler_kind handler_kind;
struct outside;
typedef struct route route;
typedef struct attempt_output attempt_output;

/*
 * What handlers add to the record of an attempt; the job's data, or NULL. It begins a block of memory that is freed
 * with the last reference; a handler may outlive the attempt. Thread: any.
 */
typedef struct attempt_note {
    _Atomic int refs;
    _Atomic(const char *) error_class; /* "timeout", "exit_status"; one of few, so that it can be counted */
    _Atomic int http_status;
    _Atomic bool is_cut;              /* the result is only the beginning */
    _Atomic(attempt_output *) output; /* see output.h; NULL: it is not kept */
    char execution[37];               /* the id of its row in the history; "": none */
    int64_t started_at_ms;            /* in that row */
} attempt_note;

/* What handlers share. */
typedef struct handler_host {
    loop *loop;
    log_sink *log;
    struct call_files *files;
    struct http_client *http;
    struct worker_pools *workers;
    struct resources *resources; /* of asynqd itself */
    int64_t concurrency;         /* as it is configured */
} handler_host;

/* A kind of handler, and the key of a route that chooses it. */
struct handler_kind {
    const char *name;
    const setting *table;
    size_t size; /* of what the table fills */
    const char *help;
    bool takes_text;     /* a text alone is the value of the table's first key */
    bool waits;          /* its calls may wait for a place; it calls handler_start() when they have one */
    bool starts_process; /* for each call */
    int descriptors;     /* that a call may have open */
    /* Checks and completes what was read. */
    int (*prepare)(settings *file, settings_node *node, void *options, asynq_error *error);
    void (*clear)(void *options);
    /* Tells what is missing outside of the configuration. NULL: nothing can be. */
    void (*look)(const void *options, const struct outside *to);
    /* What the tasks of a route take up; NULL, also as the function: there is always room. */
    asynq_capacity *(*capacity)(handler_host *host, const route *r);
    /* Who has got it has no use for it any more. NULL: it stays. Only what outlives generations is in `host`. */
    void (*release)(handler_host *host, const route *r);
    /* Starts the work on call->job; handler_end() follows once, from now on or later. */
    void (*begin)(handler_call *call);
    /* The job was cancelled or is out of time: end soon. */
    void (*cancel)(handler_call *call);
};

/* One attempt at a task. */
struct handler_call {
    asynq_job *job;
    const route *route;
    handler_host *host;
    struct relay *relay;
    void *work;         /* the handler's */
    attempt_note *note; /* referenced; NULL: it has not started, or there is none */
    template_values values;
    bool is_started;
    bool is_cancelled;
    bool is_waiting;                     /* for a worker process */
    const struct output_options *output; /* how a worker's is kept; NULL: not at all */

    /* relay.c */
    handler_call *next, *prev, *cancelled_next;
    bool is_in_cancelled;
};

/*
 * The work begins now, and with it the attempt and its time limit. False: the task was taken back, and the call is to
 * end without having done anything.
 */
ASYNQ_MUST_CHECK bool handler_start(handler_call *call);

/* The call has ended; it must not be used afterwards. `outcome` is what a handler returns. */
void handler_end(handler_call *call, int outcome);

/*
 * Ends a call that failed. `error_class` is a constant. A failure for good is archived at once; the others are tried
 * again after the pause of the route's policy, and not before pause_ms.
 */
typedef enum handler_failure { HANDLER_RETRY, HANDLER_PERMANENT } handler_failure;
void handler_fail(handler_call *call, handler_failure failure, const char *error_class, int64_t pause_ms,
                  const char *format, ...) ASYNQ_PRINTF(5, 6);

/* Ends a call that asynqd itself lacked something for, which is no failure of the task. `problem` is an errno. */
void handler_requeue(handler_call *call, const char *what, int problem);

void attempt_note_unref(attempt_note *note);

/* Notes of the attempt; never NULL. */
attempt_note *handler_note(handler_call *call);

/* Wall-clock ms until the job's deadline, at least 1. */
int64_t handler_time_left_ms(const handler_call *call);

#endif
