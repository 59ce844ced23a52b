/*
 * A job: one attempt at one task. The loop owns it while the task is leased; the handler borrows it. What each side
 * may touch is marked; only `refs`, `beginning`, `cancelled`, `handed_back`, `progress` and `has_news` are touched by
 * both.
 */
#ifndef SERVER_JOB_H
#define SERVER_JOB_H

#include "base/hash.h"
#include "broker/broker.h"
#include "event/timer.h"
#include "event/waker.h"
#include "server/error_pause.h"
#include "wire/task_message.h"

#include <asynq/server.h>
#include <stdatomic.h>

typedef struct job_port job_port;
typedef struct job_waiter job_waiter;
struct served_queue;

struct route_limit;

/* Where a job of a limited route is; see limit.c. */
typedef enum job_token { TOKEN_NONE, TOKEN_WAITING, TOKEN_ASKED, TOKEN_HELD, TOKEN_BACK } job_token;

/* Whether the handler may begin, or has begun: its thread and the loop decide it once. */
typedef enum job_beginning { JOB_MAY_BEGIN, JOB_HAS_BEGUN, JOB_IS_WITHDRAWN } job_beginning;

/* Changed by job_move() only, see books.h. */
typedef enum job_state {
    JOB_FRESH,     /* its fate is open; in no list of a state */
    JOB_RUNNING,   /* the handler works on it, or it waits for a token */
    JOB_UNSETTLED, /* the outcome is decided and waits to be written */
    JOB_SETTLING,  /* the outcome is with Redis */
    JOB_GONE       /* no longer ours: written, lost or given up; in no list */
} job_state;

/* A lease as long as it may be ours. */
typedef struct held_lease {
    lease_score score;
    int64_t ends_at_ms; /* steady clock */
} held_lease;

struct asynq_job {
    _Atomic int refs;
    job_port *port; /* counted */

    /* Input: does not change once the job is made. Lives in `memory`. */
    arena memory;
    task_message message;
    const char *id, *type, *queue_name;
    size_t id_length;
    _Atomic int64_t deadline_ns;   /* wall clock; also set by asynq_job_start() */
    _Atomic int64_t started_at_ns; /* likewise */
    int64_t pending_since_ns;      /* 0: unknown */
    const asynq_route *route;      /* the one to run */
    const asynq_route *policy;     /* the innermost one, which says how; NULL: the task did not get so far */

    /* The handler's until it hands the job back, then the loop's. */
    int outcome;
    int code;
    int64_t retry_in_ms; /* ASYNQ_NONE: the handler did not say */
    int64_t min_retry_in_ms;
    buf error_text;
    buf result;

    void *data;                                   /* the program's */
    job_waiter *waiters;                          /* under the port's lock */
    void (*on_cancel)(asynq_job *job, void *arg); /* under the port's lock */
    void *on_cancel_arg;
    _Atomic int beginning;     /* a job_beginning */
    _Atomic int cancel_reason; /* an asynq_cancel_reason; set before the mark */
    _Atomic bool cancelled;
    _Atomic bool handed_back;
    _Atomic bool has_news;         /* in `progress` */
    struct job_progress *progress; /* under the port's lock; NULL: nothing was said */
    struct asynq_job *port_next;
    struct job_flush *flush;      /* under the port's lock; NULL: no result was stored while it runs */
    struct asynq_job *flush_next; /* in the port's list */

    /* The loop's. */
    UT_hash_handle hh; /* in the books by id, unless GONE */
    struct served_queue *queue;
    job_state state;
    uint32_t tag;             /* fence of the lease */
    int64_t lease_ends_at_ms; /* steady clock, as far as we know: a step of the wall clock takes no lease away */
    uint64_t number;          /* order of leasing in the queue */
    int64_t told_at_ms;       /* steady clock: when it was written there */
    uint64_t renewed_in;      /* the sweep that looked at it last */
    loop_timer deadline_timer;
    struct asynq_job *prev, *next;             /* list of its state */
    struct asynq_job *age_prev, *age_next;     /* books.by_age */
    struct asynq_job *renew_prev, *renew_next; /* books.to_renew */
    bool holds_thread;                         /* a slot is taken until the handler returns */
    bool holds_slot;
    bool is_told;  /* on_start was called, and on_end will be; under the port's lock if the route starts later */
    bool recorded; /* stands in the workers' record in Redis */

    /* limit.c */
    job_token token;
    bool token_unsure; /* it was asked for, and the answer was lost */
    struct route_limit *limit;
    int64_t token_until_s;    /* Unix s, as Redis has it */
    int64_t token_score;      /* for giving it back: semaphore_token.until_s */
    int64_t waiting_since_ms; /* steady clock */
    struct asynq_job *token_prev, *token_next;

    /* How it is settled, from the moment the outcome is decided. */
    settle_way way;
    bool settle_unknown; /* sent before with unknown outcome */
    bool result_is_ours; /* the handler has handed the result over; else it may still be writing it */
    bool settle_alone;   /* an error may be its fault: only with its like */
    buf settled_message;
    int64_t settle_at_ms;       /* Unix ms */
    int64_t settle_again_at_ms; /* steady clock: not before, after an error */
    error_pause settle_pause;
    const char *settle_score; /* in `memory`; recovered from a lease of somebody else with this score. NULL: our own */
};

/*
 * Reads a leased message. Returns NULL with a text if the message is malformed (then it belongs into the archive) or
 * memory ran out. The job begins with one reference, the loop's.
 */
asynq_job *job_new(job_port *port, bytes message, asynq_error *error);

/*
 * A job for a task whose message cannot be read, to be archived: its message is made anew and carries the bytes found
 * as payload, so that nothing is lost and user interfaces can show it. NULL: out of memory.
 */
asynq_job *job_new_malformed(job_port *port, bytes id, bytes queue, bytes found);

/* The name under which Redis lists the task; it decides when the message says otherwise. False: out of memory. */
bool job_set_id(asynq_job *job, bytes id);

/* It was recovered from a lease of somebody else. False: out of memory. */
bool job_set_settle_score(asynq_job *job, bytes score);

static inline bytes job_id(const asynq_job *job)
{
    return (bytes){job->id, job->id_length};
}

void job_ref(asynq_job *job);
void job_unref(asynq_job *job);

/* The end of an attempt that begins now, Unix ns (spec 8.3). */
int64_t job_effective_deadline_ns(const task_message *message, int64_t now_ns);

/* The handler is about to be called. False: the job was withdrawn. Thread: the one that would call it. */
bool job_begin(asynq_job *job);
/* From now on the handler will not begin. False: it has begun. Thread: loop. */
bool job_withdraw(asynq_job *job);

/*
 * on_start, for a job that has begun; `job_untell` is true once after it. Without a lock on the loop, as on_start may
 * call what takes the port's; asynq_job_start() has it.
 */
void job_tell(asynq_job *job);
bool job_untell(asynq_job *job);
bool job_is_told(asynq_job *job);

/* Withdraws the job, sets the cancel mark and wakes asynq_job_wait_cancelled(). The first reason counts. Thread: loop.
 */
void job_cancel(asynq_job *job, asynq_cancel_reason reason);

#endif
