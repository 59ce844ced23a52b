/*
 * Running tasks.
 *
 * A handler is a function that gets a job and returns an outcome:
 *
 *     static int resize(asynq_job *job, void *arg)
 *     {
 *         size_t length;
 *         const char *payload = asynq_job_payload(job, &length);
 *         ...
 *         if (!image)
 *             return asynq_fail(job, "no image at %s", url);      retried with backoff
 *         return asynq_write_result(job, buffer, size);           done
 *     }
 *
 * It is called from one of `concurrency` worker threads and may block. A route of kind ASYNQ_HANDLER_ASYNC is called
 * on the server's loop instead and must not block. Either may return ASYNQ_OUTCOME_LATER and have the job finished from
 * any thread; until then, the job counts as one of `concurrency`.
 *
 * A thread is started when it is first needed. If the machine grants no more of them, tasks that would need one go back
 * to their queue without having failed, and the server takes no more tasks at a time than it has threads; it tries
 * again after a second, later every 30 s.
 *
 * The library is C: an exception of C++ must not leave a handler, or any other function that is given to it; it would
 * end the process by std::terminate(). <asynq/asynq.hpp> has handlers that may throw.
 *
 * A handler that crashes takes the whole process with it, as there is no way to contain a crash inside a process. The
 * tasks that were running stay leased for up to 30 s; another 30 s later, as clocks may differ, any server of their
 * queues, in C or in Go, recovers them. That counts as a failed attempt: they are retried by Asynq's default backoff,
 * or archived if no retries are left. Delivery is at least once, so handlers should be idempotent.
 */
#ifndef ASYNQ_SERVER_H
#define ASYNQ_SERVER_H

#include <asynq/client.h>
#include <asynq/error.h>
#include <asynq/log.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- jobs: one attempt at one task ---- */

typedef struct asynq_job asynq_job;

/* What a handler returns. Any other value counts as ASYNQ_OUTCOME_FAILED. */
typedef enum asynq_outcome {
    ASYNQ_OUTCOME_DONE = 0,       /* the task succeeded */
    ASYNQ_OUTCOME_FAILED = 1,     /* it failed: retried after a pause, or archived if no retries are left */
    ASYNQ_OUTCOME_SKIP_RETRY = 2, /* it failed and is archived at once */
    ASYNQ_OUTCOME_REVOKED = 3,    /* drop the task: neither failed nor kept */
    ASYNQ_OUTCOME_LATER = 4,      /* not over yet: asynq_complete() will say */
    ASYNQ_OUTCOME_SNOOZED = 5,    /* try again later; not a failure, and not counted */
    ASYNQ_OUTCOME_REQUEUED = 6    /* nothing was done: it is the next in its queue again, for this server or another */
} asynq_outcome;

/*
 * What a job knows. Everything returned belongs to the job and stays as it is until the handler has returned (or, for
 * an asynchronous handler, until asynq_complete()). Thread: the one that runs the job.
 */
ASYNQ_API const char *asynq_job_id(const asynq_job *job);
ASYNQ_API const char *asynq_job_type(const asynq_job *job);
ASYNQ_API const char *asynq_job_queue(const asynq_job *job);
/*
 * Id, type and the value of a header with their lengths: whoever enqueues with Go can put NUL bytes into them, at which
 * the texts above end. A NUL byte that is not counted follows. `length` may be NULL. NULL: there is no such header.
 */
ASYNQ_API const char *asynq_job_id_bytes(const asynq_job *job, size_t *length);
ASYNQ_API const char *asynq_job_type_bytes(const asynq_job *job, size_t *length);
ASYNQ_API const char *asynq_job_header_bytes(const asynq_job *job, const char *key, size_t *length);
/* The payload, followed by a NUL byte that is not counted; never NULL. `length` may be NULL. */
ASYNQ_API const void *asynq_job_payload(const asynq_job *job, size_t *length);
/* Retries counted so far: 0 at the first attempt. */
ASYNQ_API int asynq_job_retry_count(const asynq_job *job);
/* How many retries there will be at most. */
ASYNQ_API int asynq_job_max_retry(const asynq_job *job);
/* When this attempt must be over, Unix time in ms. */
ASYNQ_API int64_t asynq_job_deadline_ms(const asynq_job *job);
/* The value of a header, NULL if there is none; and headers by number, sorted by key, NULL beyond the last. */
ASYNQ_API const char *asynq_job_header(const asynq_job *job, const char *key);
ASYNQ_API size_t asynq_job_header_count(const asynq_job *job);
ASYNQ_API const char *asynq_job_header_key(const asynq_job *job, size_t index);
ASYNQ_API const char *asynq_job_header_value(const asynq_job *job, size_t index);

/*
 * The cancel mark: true once the task was cancelled, ran out of time, lost its lease, or the server gave up waiting
 * for it at shutdown. The task's fate is then decided already; the handler should clean up and return, and whatever
 * it returns is ignored. A handler that does not return keeps its place among the `concurrency` of the server.
 * Thread: any.
 */
ASYNQ_API bool asynq_job_is_cancelled(const asynq_job *job);

/* Why the cancel mark is set. */
typedef enum asynq_cancel_reason {
    ASYNQ_CANCEL_NONE = 0,       /* it is not */
    ASYNQ_CANCEL_DEADLINE = 1,   /* its time is over: timeout or deadline of the task */
    ASYNQ_CANCEL_REQUESTED = 2,  /* somebody cancelled it, as by asynq_inspector_cancel() */
    ASYNQ_CANCEL_LEASE_LOST = 3, /* the task may belong to another server now, and may be running there */
    ASYNQ_CANCEL_SHUTDOWN = 4    /* the server ends; the task goes back to its queue */
} asynq_cancel_reason;

/*
 * The reason of the cancel mark. A handler that runs in a process of its own, as a plug-in of asynqd can, knows only
 * whether its time is over, or else ASYNQ_CANCEL_REQUESTED. Thread: any.
 */
ASYNQ_API asynq_cancel_reason asynq_job_cancel_reason(const asynq_job *job);

/* Sleeps until the cancel mark is set or the time is over. Returns the mark. Thread: a worker. */
ASYNQ_API bool asynq_job_wait_cancelled(asynq_job *job, int64_t timeout_ms);

/*
 * Each gives a failed outcome its text, which people see in Asynqmon, and returns the outcome, so that a handler can
 * end with it. The text is cut at 64 kB; bytes that are not UTF-8 are replaced.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_fail(asynq_job *job, const char *format, ...) ASYNQ_PRINTF(2, 3);
ASYNQ_API ASYNQ_MUST_CHECK int asynq_skip_retry(asynq_job *job, const char *format, ...) ASYNQ_PRINTF(2, 3);
ASYNQ_API ASYNQ_MUST_CHECK int asynq_revoke(asynq_job *job, const char *format, ...) ASYNQ_PRINTF(2, 3);

/*
 * The same as asynq_fail(), and the next attempt, if there is one, comes after this pause instead of that of the route
 * or the server; for instance after the "Retry-After" of an HTTP answer. A pause of any kind lasts at least 100 ms, so
 * that one short outage does not use up all retries.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_retry_in(asynq_job *job, int64_t pause_ms, const char *format, ...)
    ASYNQ_PRINTF(3, 4);

/* The same, and the pause is that of the route or the server; only that it is not shorter than this one. */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_retry_after(asynq_job *job, int64_t min_pause_ms, const char *format, ...)
    ASYNQ_PRINTF(3, 4);

/*
 * Puts the task off: it is tried again after the pause, as often as need be. It has not failed: neither retries nor
 * statistics are counted, on_error and is_failure are not called, and it is never archived for it. It stands among the
 * retries, with the text. The pause lasts at least 100 ms. Returns ASYNQ_OUTCOME_SNOOZED.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_snooze(asynq_job *job, int64_t pause_ms, const char *format, ...)
    ASYNQ_PRINTF(3, 4);

/*
 * A number of the handler's own that says what kind of failure it was, such as an HTTP status. The functions of the
 * server's options get it in asynq_failure and asynq_attempt, so that they need not read it out of the text. It is not
 * stored. 0 at first. Thread: the one that runs the job.
 */
ASYNQ_API void asynq_job_set_code(asynq_job *job, int code);
ASYNQ_API int asynq_job_code(const asynq_job *job);

/*
 * The text that asynq_fail() and the others were given, "" if there is none: for middleware, which has the outcome from
 * asynq_next_run(). Valid until another text is given. Thread: the one that runs the job.
 */
ASYNQ_API const char *asynq_job_error(const asynq_job *job);

/*
 * Sets the result, any bytes, copied; a second call replaces it. It is stored together with the outcome and kept as
 * long as the task is: with a retention, or while the task is retried or archived. Returns ASYNQ_OUTCOME_DONE, or
 * ASYNQ_OUTCOME_FAILED (with a text) if the job was cancelled or memory ran out.
 */
ASYNQ_API int asynq_write_result(asynq_job *job, const void *data, size_t length);

/*
 * Ends a job for which the handler returned (or will return) ASYNQ_OUTCOME_LATER. The job must not be used afterwards.
 * Legal, and without effect, when the task was given up in the meantime or the server is gone. Thread: any.
 */
ASYNQ_API void asynq_complete(asynq_job *job, int outcome);

/*
 * For routes with `starts_later`: the work on the task begins now. The time limit of the attempt and its duration count
 * from here, and on_start is called, from this thread and with a lock held, so that it must not call
 * asynq_job_on_cancel(), asynq_job_wait_cancelled() or asynq_complete(). False: the task was taken back meanwhile, or
 * has been started before; nothing may be done for it, and whatever outcome is told is ignored. Thread: any.
 */
ASYNQ_API ASYNQ_MUST_CHECK bool asynq_job_start(asynq_job *job);

/*
 * Says how far the job is, from 0 to 1, and in words, of which the first 200 bytes are kept. A fraction below 0 and a
 * text that is NULL leave what was said before. People see it in `asynqctl`; it goes to Redis with the server's
 * heartbeat, each 5 s, and more rarely with a payload above 64 kB, so that it may be called as often as one likes. What
 * was said is gone with the attempt. Thread: any, until the job is handed back.
 */
ASYNQ_API void asynq_job_progress(asynq_job *job, double fraction, const char *text);

/*
 * Calls `cb` once when the cancel mark is set: on the server's loop thread, with a lock held, so it must be short and
 * call nothing of the library; or at once, if it is set already. Not after asynq_complete() or the handler's end.
 * `cb` NULL: no more. Thread: the one that runs the job.
 */
ASYNQ_API void asynq_job_on_cancel(asynq_job *job, void (*cb)(asynq_job *job, void *arg), void *arg);

/*
 * A pointer that the program hangs on a job, for instance in on_start, so that handler and on_end find it. NULL at
 * first. The library does not look at it; it is not set while another thread asks for it.
 */
ASYNQ_API void asynq_job_set_data(asynq_job *job, void *data);
ASYNQ_API void *asynq_job_data(const asynq_job *job);

/* ---- attempts ---- */

/* What became of a task after an attempt. */
typedef enum asynq_attempt_end {
    ASYNQ_ATTEMPT_COMPLETED = 0,
    ASYNQ_ATTEMPT_RETRIED = 1,    /* it failed and will be tried again */
    ASYNQ_ATTEMPT_ARCHIVED = 2,   /* it failed for good */
    ASYNQ_ATTEMPT_REVOKED = 3,    /* it was dropped */
    ASYNQ_ATTEMPT_PUT_OFF = 4,    /* it will be tried again and has not failed: snoozed, or is_failure said so */
    ASYNQ_ATTEMPT_GIVEN_BACK = 5, /* the server was shut down; it is pending again */
    ASYNQ_ATTEMPT_LOST = 6        /* the lease was lost; whoever has it now decides */
} asynq_attempt_end;

/* "completed", "retried" and so on; "?" for other values. */
ASYNQ_API const char *asynq_attempt_end_name(asynq_attempt_end end);

/* An attempt that has ended. Everything belongs to the library and lasts for the call. Times are Unix ms. */
typedef struct asynq_attempt {
    const asynq_job *job;
    asynq_attempt_end end;
    const char *error;        /* "" if it did not fail */
    int64_t pending_since_ms; /* when it could have been started; 0: unknown */
    int64_t started_at_ms;
    int64_t ended_at_ms;
    int64_t next_at_ms; /* of the next attempt; 0: there is none, or nobody knows */
    int code;           /* what the handler set by asynq_job_set_code() before it ended; else 0 */
    asynq_cancel_reason cancel_reason;
} asynq_attempt;

/* An attempt that has failed. Everything belongs to the library and lasts for the call. */
typedef struct asynq_failure {
    const asynq_job *job;
    const char *error; /* never empty */
    int outcome;       /* what the handler returned, an asynq_outcome; ASYNQ_OUTCOME_FAILED if the attempt was ended */
    int code;          /* what the handler set by asynq_job_set_code() before it ended; else 0 */
    asynq_cancel_reason cancel_reason; /* not NONE: the attempt was ended, and its handler may still be running */
    int retry_count;                   /* retries counted before */
} asynq_failure;

/* ---- routes ---- */

typedef int (*asynq_handler)(asynq_job *job, void *arg);

typedef enum asynq_handler_kind {
    ASYNQ_HANDLER_THREAD = 0, /* blocking, in a worker thread */
    ASYNQ_HANDLER_ASYNC = 1   /* on the loop; must not block */
} asynq_handler_kind;

/* How long a failed task waits for its next attempt. */
typedef enum asynq_retry_kind {
    ASYNQ_RETRY_BY_SERVER = 0, /* as retry_delay_ms of the server's options says */
    ASYNQ_RETRY_CONSTANT = 1,  /* always delay_ms */
    ASYNQ_RETRY_EXPONENTIAL =
        2,                /* delay_ms after the first attempt, then twice, four times as long, up to max_delay_ms */
    ASYNQ_RETRY_ASYNQ = 3 /* asynq_default_retry_delay_ms() */
} asynq_retry_kind;

/* A rule for it, for instance { ASYNQ_RETRY_EXPONENTIAL, .delay_ms = ASYNQ_SECONDS(2), .jitter_percent = 20 }. */
typedef struct asynq_retry_policy {
    asynq_retry_kind kind;
    int64_t delay_ms;     /* more than 0 where it is used */
    int64_t max_delay_ms; /* default 1 h, or delay_ms if that is more */
    int jitter_percent;   /* up to so much longer or shorter, at random; 0 to 100 */
} asynq_retry_policy;

/*
 * How many tasks what runs them can hold: worker processes, connections, licences. While a capacity is used up, the
 * servers of this process take no more tasks of the routes that name it: they stay pending, for later and for other
 * servers, their time limits do not run, and tasks of other routes pass them. To find those, a server looks at the
 * first 32,768 tasks of a queue. The routes must be in the server's own mux; those of a mux inside of it do not count.
 *
 * It must outlive the servers that use it; freeing it before only gives up the caller's share. Thread: any.
 */
typedef struct asynq_capacity asynq_capacity;

/* NULL: out of memory. */
ASYNQ_API ASYNQ_MUST_CHECK asynq_capacity *asynq_capacity_new(int max);
/* Accepts NULL. */
ASYNQ_API void asynq_capacity_free(asynq_capacity *capacity);
/* From 0 on. What runs over the new number goes on. */
ASYNQ_API void asynq_capacity_set_max(asynq_capacity *capacity, int max);
/* Tasks that were taken for it and have not ended. */
ASYNQ_API int asynq_capacity_in_use(const asynq_capacity *capacity);

/*
 * A limit: of all tasks whose routes name the scope, at most so many run at the same time, on all servers together;
 * also on those in Go that use the semaphore of this scope (asynq's x/rate). A task over the limit waits: in its
 * server, so that it starts as soon as a place is free, or, when many wait there, among the retries. It has not failed,
 * and takes none of the server's `concurrency`. The place of a server that dies is free again after 30 s.
 */
typedef struct asynq_limit {
    const char *scope; /* NULL: no limit. Not blank; all servers must agree on its `max` */
    int max;
} asynq_limit;

/*
 * A route: tasks whose type equals the pattern, or else begins with it; the longest pattern wins, byte by byte:
 * "email" also takes "emails:send". The empty pattern takes what no other takes. A table of routes ends with an empty
 * row.
 */
typedef struct asynq_route {
    const char *pattern;
    asynq_handler handler;
    void *arg;
    asynq_handler_kind kind;
    asynq_retry_policy retry;
    asynq_limit limit;
    asynq_capacity *capacity; /* of what runs its tasks; NULL: there is always room. Borrowed, see there */
    bool starts_later;        /* its tasks may wait until asynq_job_start(); only for asynchronous handlers */
} asynq_route;

/* What runs around a handler: code before and after asynq_next_run(), which returns the inner outcome. */
typedef struct asynq_next asynq_next;
typedef int (*asynq_middleware)(asynq_job *job, asynq_next *next, void *arg);
ASYNQ_API ASYNQ_MUST_CHECK int asynq_next_run(asynq_next *next, asynq_job *job);

/* A set of routes that is built by calls. Not to be changed once a server that uses it has started. */
typedef struct asynq_mux asynq_mux;

/* NULL: out of memory. */
ASYNQ_API ASYNQ_MUST_CHECK asynq_mux *asynq_mux_new(void);
/* Accepts NULL. Only when no server uses it any more. */
ASYNQ_API void asynq_mux_free(asynq_mux *mux);
/*
 * Returns 0, or ASYNQ_E_INVALID: no pattern or one of white space, no handler, the pattern is taken, or policy or limit
 * make no sense. The route is copied, texts too.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_mux_handle(asynq_mux *mux, const asynq_route *route, asynq_error *error);
/* Adds middleware around all routes and the not-found handler. The first added is the outermost. */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_mux_use(asynq_mux *mux, asynq_middleware middleware, void *arg,
                                             asynq_error *error);
/* What to do with types that match nothing. Default: fail with `handler not found for task "<type>"`. */
ASYNQ_API void asynq_mux_set_not_found(asynq_mux *mux, asynq_handler handler, void *arg);
/*
 * A mux as the handler of another mux; `mux` is the argument. Asynchronous routes of the inner mux are run as well. The
 * policy and the limit that count are those of the innermost route.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_mux_dispatch(asynq_job *job, void *mux);
/* The pattern that takes a type, "" if none. */
ASYNQ_API const char *asynq_mux_match(const asynq_mux *mux, const char *type);
/*
 * The handler of a type, with its argument, either of which may be NULL; without a route that of
 * asynq_mux_set_not_found() or, without that, the library's. Middleware is not a part of it. Returns the pattern, "" if
 * none.
 */
ASYNQ_API const char *asynq_mux_find(const asynq_mux *mux, const char *type, asynq_handler *handler, void **arg);

/* ---- groups: many tasks become one ---- */

/*
 * The tasks of a group (see asynq_task_options.group) that are due together, and what becomes of them. Everything
 * returned belongs to the aggregation. Thread: the aggregator's, during the call.
 */
typedef struct asynq_aggregation asynq_aggregation;

ASYNQ_API const char *asynq_aggregation_queue(const asynq_aggregation *aggregation);
ASYNQ_API const char *asynq_aggregation_group(const asynq_aggregation *aggregation);
ASYNQ_API size_t asynq_aggregation_count(const asynq_aggregation *aggregation);
/* Type, payload and headers (in `options`) of a task, by the time at which they joined the group; NULL beyond the last.
 */
ASYNQ_SIZED const asynq_task *asynq_aggregation_task(const asynq_aggregation *aggregation, size_t index);

/*
 * Sets the one task that takes the place of the others, with its options; it is copied, and always goes into the same
 * queue. A second call replaces it. Returns 0, or ASYNQ_E_INVALID or ASYNQ_E_NO_MEMORY; then there is none.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_aggregate_into(asynq_aggregation *aggregation, const asynq_task *task,
                                                      asynq_error *error);

/*
 * Makes one task of the tasks of a group. Returns ASYNQ_OUTCOME_DONE, and the new task is enqueued and the others
 * deleted, in one step; ASYNQ_OUTCOME_REVOKED, and they are deleted; or ASYNQ_OUTCOME_FAILED, and they go back into the
 * group two minutes later. It has less than two minutes. Thread: one of the server's own, one call at a time.
 */
typedef int (*asynq_aggregator)(asynq_aggregation *aggregation, void *arg);

/* ---- the server ---- */

/*
 * A table of queues ends with an empty row. A name may be a pattern, see asynq_server_queue(). Blank names and
 * priorities of 0 or less are left out.
 */
typedef struct asynq_queue {
    const char *name;
    int priority; /* share of the attention; with strict_priority the order */
} asynq_queue;

typedef struct asynq_server asynq_server;

/*
 * Functions of this struct are called on the server's loop thread and must not block, except those that are said to be
 * called elsewhere.
 */
typedef struct asynq_server_options {
    const char *redis;         /* URI as in asynq_client_options; default redis://127.0.0.1:6379 */
    int concurrency;           /* tasks at the same time; default: number of processors */
    const asynq_queue *queues; /* default: "default" with priority 1 */
    bool strict_priority;      /* a queue is served only when all of higher priority are empty */
    const asynq_route *routes; /* more can be added with asynq_server_handle() */
    asynq_mux *mux;            /* used instead of `routes`; borrowed: must outlive the server and its handlers */

    /* Pause before the next attempt in ms, at least 100, where the route has no policy. Default:
     * asynq_default_retry_delay_ms(). */
    int64_t (*retry_delay_ms)(const asynq_failure *failure, void *arg);
    /* False: the failure is not counted, neither for the task's retries nor in statistics. Default: always true. */
    bool (*is_failure)(const asynq_failure *failure, void *arg);
    /* Hears of every failed attempt before it is stored. */
    void (*on_error)(const asynq_failure *failure, void *arg);
    /* Called every health_interval_ms with the result of a PING; status 0 is healthy. */
    void (*on_health)(int status, const char *text, void *arg);
    void *arg; /* for the functions above */

    int64_t shutdown_timeout_ms;            /* for running tasks at shutdown; default 8 s; see there */
    int64_t health_interval_ms;             /* default 15 s */
    int64_t task_check_interval_ms;         /* polling where Redis cannot notify us; default 1 s */
    int64_t delayed_task_check_interval_ms; /* the same for scheduled tasks and retries; default 5 s */
    int64_t janitor_interval_ms;            /* deletion of completed tasks; default 8 s */
    int janitor_batch_size;                 /* in one step; default 100, at most 1,000 */

    /*
     * Groups of this server's queues. A group is due when no task has joined it for the grace period, when its oldest
     * task has waited for the longest delay, or when it has the most tasks. All are cut to whole seconds, upwards.
     */
    asynq_aggregator aggregate;    /* default: none, and groups wait for a server that has one */
    int64_t group_grace_period_ms; /* default 1 min; at least 1 s */
    int64_t group_max_delay_ms;    /* default: none */
    int group_max_size;            /* also of one aggregation; default 10,000 */

    /*
     * From so many live servers on, only two idle ones per queue are told of new tasks and do the upkeep; the others
     * wait to be woken, which saves Redis most of the work of a large fleet. Default 5; below zero: never.
     */
    int park_from;

    asynq_log_cb log; /* default: no log; asynq_serve() logs to standard error */
    void *log_arg;
    asynq_log_level log_level;

    /*
     * Each attempt, before its handler is called, and when it has ended: when what becomes of the task is decided,
     * which is then written to Redis. For each start there is one end, unless the process dies. After an attempt that
     * ran out of time, was cancelled or lost, the handler may still be running.
     */
    void (*on_start)(asynq_job *job, void *arg);
    void (*on_end)(const asynq_attempt *attempt, void *arg);

    /* What asynq_inspector_tell() sent, not ended by a NUL: from anybody who may publish, so look at it well. Thread:
     * the server's. */
    void (*on_message)(const char *text, size_t length, void *arg);

    const char *prefix; /* of all keys and channels, as for clients; default "asynq" */

    /*
     * What on_error and on_end hear, for functions that may block, for instance to tell a service of it. A thread of
     * the server's own calls them, one at a time and in order, soon after the event. Up to max_waiting_reports wait for
     * it, 1,000 by default; what is beyond is dropped, counted in asynq_server_stats and logged. At a shutdown they are
     * called until its time limit; a call that has not returned by then may go on after asynq_server_free(). The job is
     * for asynq_job_id() and what else it knows, but for asynq_job_error() and asynq_job_code().
     */
    void (*report_error)(const asynq_failure *failure, void *arg);
    void (*report_end)(const asynq_attempt *attempt, void *arg);
    int64_t max_waiting_reports;
} asynq_server_options;

/*
 * Asynq's pause after the n-th failure, in ms: n^4 + 15 + random(0..29) * (n + 1) seconds, where n is the number of
 * retries counted so far. For functions that want another pause for some tasks only. Thread: any.
 */
ASYNQ_API int64_t asynq_default_retry_delay_ms(int retry_count);

/*
 * Makes a server. Does not contact Redis. Options are copied, `routes` and `queues` too. Returns NULL and fills `error`
 * if an option is wrong or a route is bad. Thread: any.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_server *asynq_server_new(const asynq_server_options *options, asynq_error *error);

/*
 * Serves a queue. Before the start, instead of the table (array literals do not exist in C++), and each only once.
 * While the server runs, a queue that it does not serve is served from now on, also one that was just removed; one that
 * it serves gets the priority. The call only gives the order: the server's own thread follows it within a turn of its
 * loop, with or without Redis.
 *
 * A name with a '*' is a pattern, in which '*' stands for any text: all queues that there are with such a name are
 * served, each within a second of its first task, until it is deleted. They take turns in one share of the attention,
 * whose size is the priority. A queue that is also served by its name has its own; of several patterns the first that
 * was given counts. Names of more than 255 bytes, and those with control characters, are passed over, and a server has
 * at most 100,000 queues; the log says so.
 *
 * Returns 0, ASYNQ_E_INVALID (name, pattern), ASYNQ_E_NO_MEMORY, ASYNQ_E_STATE (stopped) or
 * ASYNQ_E_CLOSED (shut down). Thread: any, also from handlers.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_queue(asynq_server *server, const char *name, int priority,
                                                  asynq_error *error);
/*
 * Serves a queue no more. Before the start it is as if it had never been added. While the server runs, no task is taken
 * from it any more; tasks that run go on, and when all of them and all calls to Redis have ended, the queue's memory is
 * freed. What waits in the queue stays there. A server without queues runs on and takes nothing. Returns as above, and
 * ASYNQ_E_QUEUE_NOT_FOUND if it does not serve the queue. Thread: any, also from handlers.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_remove_queue(asynq_server *server, const char *name, asynq_error *error);
/* Instead of tables, before the start. Returns 0, or ASYNQ_E_INVALID. Thread: as asynq_server_new(). */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_server_handle(asynq_server *server, const asynq_route *route,
                                                     asynq_error *error);

/*
 * Starts the server's threads and returns. Redis need not be reachable: the server begins when it is. Returns 0, or
 * ASYNQ_E_STATE (running or stopped already), ASYNQ_E_CLOSED (was shut down), ASYNQ_E_INVALID (no route),
 * ASYNQ_E_NO_MEMORY, ASYNQ_E_SYSTEM. Thread: any.
 *
 * A process may fork before this call. After it, the server is the parent's: in a child, calls that can fail return
 * ASYNQ_E_STATE at once, the others do nothing, and asynq_server_status() is "closed".
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_start(asynq_server *server, asynq_error *error);

/*
 * Changes how many tasks may run at the same time, from 0 on. Those that run over the new number go on; no other is
 * taken until there are fewer. Returns 0 or ASYNQ_E_INVALID. Thread: any, at any time.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_set_concurrency(asynq_server *server, int concurrency, asynq_error *error);

/*
 * Takes no new tasks; what runs goes on. Returns when no task will be taken any more, or after a second if Redis does
 * not answer; what it may take then goes straight back. Only asynq_server_shutdown() can follow. Thread: any.
 */
ASYNQ_API void asynq_server_stop(asynq_server *server);

/*
 * Waits up to shutdown_timeout_ms for running tasks, gives the others back to their queues, removes the server from
 * the lists of running servers, and ends the threads. It returns within the limit and a second, also when Redis is
 * gone or hangs: tasks that could not be given back, or whose outcomes could not be written, stay leased until other
 * servers recover and run them again, and one warning in the log says how many of which queues. No effect before the
 * start or a second time. Thread: any but the server's own.
 */
ASYNQ_API void asynq_server_shutdown(asynq_server *server);

/*
 * Ends the wait for running tasks: of an asynq_server_shutdown() that is under way in another thread, or of the next
 * one. They are given back at once. Thread: any.
 */
ASYNQ_API void asynq_server_shutdown_now(asynq_server *server);

/*
 * Shuts down if need be, and frees. Accepts NULL. Handlers that did not return in time may still run afterwards, and
 * jobs of asynchronous handlers may still be completed; both end without effect. Thread: as asynq_server_shutdown().
 */
ASYNQ_API void asynq_server_free(asynq_server *server);

/* "new", "active", "stopped" or "closed". Thread: any. */
ASYNQ_API const char *asynq_server_status(const asynq_server *server);

/*
 * Whether the server reaches Redis: waits until Redis answers a PING over the server's own connection, at most so long;
 * with 0 it looks once. Returns 0: the server is ready to take tasks; ASYNQ_E_UNAVAILABLE or ASYNQ_E_TIMEOUT, with what
 * keeps it from Redis; at once ASYNQ_E_AUTH and what else time does not mend; ASYNQ_E_STATE (not started, or from one
 * of its functions on the loop) or ASYNQ_E_CLOSED. After asynq_server_start(), which needs no Redis, it finds a wrong
 * password. Thread: any but the server's own.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_ping(asynq_server *server, int64_t timeout_ms, asynq_error *error);

/* How a server is doing, for health checks and metrics. Counted since its start. */
typedef struct asynq_server_stats {
    bool is_connected;       /* with Redis */
    bool is_fetching;        /* takes tasks, or would */
    int64_t running;         /* tasks */
    int64_t commands;        /* sent to Redis for tasks */
    int64_t leases_lost;     /* tasks that were not ours any more before they ended */
    int64_t last_turn_ms;    /* Unix ms: when its loop was last seen to run; it does at least each second */
    int64_t last_beat_ms;    /* Unix ms: when Redis last had our records and leases; 0: never */
    int64_t reports_dropped; /* that found no room: see max_waiting_reports */
} asynq_server_stats;

/* Fills `stats`, as of the last turn of the server's loop. Thread: any. */
ASYNQ_SIZED void asynq_server_get_stats(const asynq_server *server, asynq_server_stats *stats);

/*
 * Runs a server until the process is told to end: TERM and INT shut it down, and a second one has it give running tasks
 * back at once; TSTP stops it taking tasks. This call alone handles signals; the signal mask is restored afterwards.
 * Returns 0 after a clean end, or the status of what was wrong, which is also logged. Thread: the main thread, before
 * others are started.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_run(asynq_server *server, asynq_error *error);

/* Makes, runs and frees a server, with a log on standard error. For use as `return asynq_serve(...)`: 0 or 1. */
ASYNQ_SIZED int asynq_serve(const asynq_server_options *options);

/* ---- sizes: see sizes.h ---- */

/* clang-format off */
static const size_t asynq_server_sizes[] ASYNQ_UNUSED = {
    8,
    sizeof(asynq_retry_policy),
    sizeof(asynq_limit),
    sizeof(asynq_route),
    sizeof(asynq_queue),
    sizeof(asynq_server_options),
    sizeof(asynq_server_stats),
    sizeof(asynq_attempt),
    sizeof(asynq_failure),
};
/* clang-format on */
static const asynq_sizes asynq_sizes_of_server ASYNQ_UNUSED = {{asynq_client_sizes, asynq_server_sizes}};

ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_mux_handle_sized(const asynq_sizes *sizes, asynq_mux *mux,
                                                            const asynq_route *route, asynq_error *error);
ASYNQ_SIZED_API const asynq_task *asynq_aggregation_task_sized(const asynq_sizes *sizes,
                                                               const asynq_aggregation *aggregation, size_t index);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_aggregate_into_sized(const asynq_sizes *sizes,
                                                                asynq_aggregation *aggregation, const asynq_task *task,
                                                                asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK asynq_server *
asynq_server_new_sized(const asynq_sizes *sizes, const asynq_server_options *options, asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_server_handle_sized(const asynq_sizes *sizes, asynq_server *server,
                                                               const asynq_route *route, asynq_error *error);
ASYNQ_SIZED_API void asynq_server_get_stats_sized(const asynq_sizes *sizes, const asynq_server *server,
                                                  asynq_server_stats *stats);
ASYNQ_SIZED_API int asynq_serve_sized(const asynq_sizes *sizes, const asynq_server_options *options);

#ifndef ASYNQ_OWN_STRUCTS
#define asynq_mux_handle(...) asynq_mux_handle_sized(&asynq_sizes_of_server, __VA_ARGS__)
#define asynq_aggregation_task(...) asynq_aggregation_task_sized(&asynq_sizes_of_server, __VA_ARGS__)
#define asynq_aggregate_into(...) asynq_aggregate_into_sized(&asynq_sizes_of_server, __VA_ARGS__)
#define asynq_server_new(...) asynq_server_new_sized(&asynq_sizes_of_server, __VA_ARGS__)
#define asynq_server_handle(...) asynq_server_handle_sized(&asynq_sizes_of_server, __VA_ARGS__)
#define asynq_server_get_stats(...) asynq_server_get_stats_sized(&asynq_sizes_of_server, __VA_ARGS__)
#define asynq_serve(...) asynq_serve_sized(&asynq_sizes_of_server, __VA_ARGS__)
#endif

#ifdef __cplusplus
}
#endif

#endif
