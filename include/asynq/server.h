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
 * on the server's loop instead and must not block. Either may return ASYNQ_OUTCOME_DEFERRED and have the job finished
 * from any thread; until then, the job counts as one of `concurrency`.
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

/*
 * A job: one attempt at one task, as its handler sees it. The library makes it and frees it. What calls return of it
 * belongs to it, and stays as it is until the handler has returned or, with ASYNQ_OUTCOME_DEFERRED, until
 * asynq_complete().
 */
typedef struct asynq_job asynq_job;

/* The outcome of an attempt: what a handler returns. Any other value counts as ASYNQ_OUTCOME_FAILED. */
typedef enum asynq_outcome {
    ASYNQ_OUTCOME_DONE = 0,       /* the task succeeded */
    ASYNQ_OUTCOME_FAILED = 1,     /* it failed: retried after a pause, or archived if no retries are left */
    ASYNQ_OUTCOME_SKIP_RETRY = 2, /* it failed and is archived at once */
    ASYNQ_OUTCOME_REVOKED = 3,    /* drop the task: neither failed nor kept */
    ASYNQ_OUTCOME_DEFERRED = 4,   /* not over yet: asynq_complete() ends it */
    ASYNQ_OUTCOME_SNOOZED = 5,    /* try again later; not a failure, and not counted */
    ASYNQ_OUTCOME_REQUEUED = 6    /* nothing was done: it is the next in its queue again, for this server or another */
} asynq_outcome;

/*
 * Returns the id of a job's task. Never NULL; the text belongs to the job. If it can contain NUL bytes, use
 * asynq_job_id_bytes(). Thread: the one that runs the job.
 */
ASYNQ_API const char *asynq_job_id(const asynq_job *job);

/* Returns the type of a job's task. Never NULL; the text belongs to the job. Thread: the one that runs the job. */
ASYNQ_API const char *asynq_job_type(const asynq_job *job);

/*
 * Returns the name of the queue that a job's task came from. Never NULL; the text belongs to the job. Thread: the one
 * that runs the job.
 */
ASYNQ_API const char *asynq_job_queue(const asynq_job *job);

/*
 * Returns the id, the type or the value of a header of a job's task, with its length. Producers in Go can put NUL bytes
 * into them, at which the texts of asynq_job_id(), asynq_job_type() and asynq_job_header() end. A NUL byte follows that
 * is not counted. `length` may be NULL. NULL: there is no such header. The bytes belong to the job. Thread: the one
 * that runs the job.
 */
ASYNQ_API const char *asynq_job_id_bytes(const asynq_job *job, size_t *length);
ASYNQ_API const char *asynq_job_type_bytes(const asynq_job *job, size_t *length);
ASYNQ_API const char *asynq_job_header_bytes(const asynq_job *job, const char *key, size_t *length);

/*
 * Returns the payload of a job's task, with its length. `length` may be NULL. Never NULL; a NUL byte follows that is
 * not counted, so that a text can be used as one. The bytes belong to the job. Thread: the one that runs the job.
 */
ASYNQ_API const void *asynq_job_payload(const asynq_job *job, size_t *length);

/* Returns the number of retries that were counted so far: 0 at the first attempt. Thread: the one that runs the job. */
ASYNQ_API int asynq_job_retry_count(const asynq_job *job);

/* Returns the maximum number of retries of a job's task: its max_retry. Thread: the one that runs the job. */
ASYNQ_API int asynq_job_max_retry(const asynq_job *job);

/*
 * Returns the time by which an attempt has to end, from timeout and deadline of its task: Unix time in milliseconds.
 * Then the cancel mark is set, see asynq_job_is_cancelled(). Thread: the one that runs the job.
 */
ASYNQ_API int64_t asynq_job_deadline_ms(const asynq_job *job);

/*
 * Returns headers of a job's task: the value of one by its key, how many there are, and key and value by number. They
 * are sorted by key and numbered from 0. NULL: there is no such header. The texts belong to the job. Thread: the one
 * that runs the job.
 */
ASYNQ_API const char *asynq_job_header(const asynq_job *job, const char *key);
ASYNQ_API size_t asynq_job_header_count(const asynq_job *job);
ASYNQ_API const char *asynq_job_header_key(const asynq_job *job, size_t index);
ASYNQ_API const char *asynq_job_header_value(const asynq_job *job, size_t index);

/*
 * Returns the cancel mark of a job: whether its handler should end. It is set once the task was cancelled, ran out of
 * time, lost its lease, or the server gave up waiting for it at shutdown. What becomes of the task is then decided
 * already; the handler should clean up and return, and what it returns is ignored. A handler that does not return keeps
 * its place among the `concurrency` of the server. Thread: any.
 */
ASYNQ_API bool asynq_job_is_cancelled(const asynq_job *job);

/* Why the cancel mark of a job is set. */
typedef enum asynq_cancel_reason {
    ASYNQ_CANCEL_NONE = 0,       /* it is not */
    ASYNQ_CANCEL_DEADLINE = 1,   /* its time is over: timeout or deadline of the task */
    ASYNQ_CANCEL_REQUESTED = 2,  /* an operator cancelled it, as by asynq_inspector_cancel() */
    ASYNQ_CANCEL_LEASE_LOST = 3, /* the task may belong to another server now, and may be running there */
    ASYNQ_CANCEL_SHUTDOWN = 4    /* the server ends; the task goes back to its queue */
} asynq_cancel_reason;

/*
 * Returns the reason of the cancel mark of a job. A handler that runs in a process of its own, as a plugin of asynqd
 * can, gets ASYNQ_CANCEL_DEADLINE if its time is over, and else ASYNQ_CANCEL_REQUESTED. Thread: any.
 */
ASYNQ_API asynq_cancel_reason asynq_job_cancel_reason(const asynq_job *job);

/*
 * Sleeps until the cancel mark of a job is set, at most `timeout_ms` milliseconds. For handlers that wait. Returns the
 * mark. Thread: the one that runs the job, if it may block: not the loop.
 */
ASYNQ_API bool asynq_job_wait_cancelled(asynq_job *job, int64_t timeout_ms);

/*
 * Fails an attempt with a text: the task is retried after its backoff, or archived if no retries are left. Written as
 * `return asynq_fail(job, ...)` at the end of a handler. The text is formatted as by printf(3), shown by user
 * interfaces as the last error, and cut at 64 kB; bytes that are not UTF-8 are replaced. Returns ASYNQ_OUTCOME_FAILED.
 * Thread: the one that runs the job.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_fail(asynq_job *job, const char *format, ...) ASYNQ_PRINTF(2, 3);

/*
 * Fails an attempt permanently, with a text: the task is archived at once, for what no retry can repair. In all else it
 * is asynq_fail(). Returns ASYNQ_OUTCOME_SKIP_RETRY. Thread: the one that runs the job.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_skip_retry(asynq_job *job, const char *format, ...) ASYNQ_PRINTF(2, 3);

/*
 * Drops a task without a failure, with a text for the log: it is neither retried nor kept. The same as
 * `asynq.RevokeTask` of Go. Returns ASYNQ_OUTCOME_REVOKED. Thread: the one that runs the job.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_revoke(asynq_job *job, const char *format, ...) ASYNQ_PRINTF(2, 3);

/*
 * Fails an attempt and sets the backoff: the next attempt, if there is one, comes after `pause_ms` milliseconds instead
 * of after the backoff of the route or the server; for instance after the "Retry-After" of an HTTP answer. A backoff of
 * any kind is at least 100 ms, so that one short outage does not use up all retries. In all else it is asynq_fail().
 * Returns ASYNQ_OUTCOME_FAILED. Thread: the one that runs the job.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_retry_in(asynq_job *job, int64_t pause_ms, const char *format, ...)
    ASYNQ_PRINTF(3, 4);

/*
 * Fails an attempt and sets a minimum of the backoff: the next attempt, if there is one, comes after the backoff of the
 * route or the server, but not before `min_pause_ms` milliseconds. In all else it is asynq_fail(). Returns
 * ASYNQ_OUTCOME_FAILED. Thread: the one that runs the job.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_retry_after(asynq_job *job, int64_t min_pause_ms, const char *format, ...)
    ASYNQ_PRINTF(3, 4);

/*
 * Snoozes a task: the next attempt comes after `pause_ms` milliseconds, at least 100, and it has not failed. No retry
 * is counted and no failure, on_error and is_failure are not called, and the task is never archived for it, however
 * often it is snoozed. Until then it is in the state retry, with the text. Returns ASYNQ_OUTCOME_SNOOZED. Thread: the
 * one that runs the job.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_snooze(asynq_job *job, int64_t pause_ms, const char *format, ...)
    ASYNQ_PRINTF(3, 4);

/*
 * Sets the code of a job: a number of the handler's own that says what kind of failure it was, such as an HTTP status.
 * The functions of the server's options get it in asynq_failure and asynq_attempt, so that they need not read it out of
 * the text. It is not stored. Thread: the one that runs the job.
 */
ASYNQ_API void asynq_job_set_code(asynq_job *job, int code);

/* Returns the code of a job that asynq_job_set_code() has set; 0 at first. Thread: the one that runs the job. */
ASYNQ_API int asynq_job_code(const asynq_job *job);

/*
 * Returns the error text of a job: what asynq_fail() and its relatives were given, "" if nothing. For middleware, which
 * has the outcome from asynq_next_run(). Never NULL; valid until another text is given. Thread: the one that runs the
 * job.
 */
ASYNQ_API const char *asynq_job_error(const asynq_job *job);

/*
 * Sets the result of a task: any bytes, which are copied; a second call replaces them. The result is stored together
 * with the outcome and kept as long as the task is: with a retention, or while the task is retried or archived. Written
 * as `return asynq_write_result(...)` at the end of a handler that succeeded. Returns ASYNQ_OUTCOME_DONE, or
 * ASYNQ_OUTCOME_FAILED (with a text) if the job was cancelled or memory ran out. Thread: the one that runs the job.
 */
ASYNQ_API int asynq_write_result(asynq_job *job, const void *data, size_t length);

/*
 * Stores the result of a running task. What asynq_write_result() has set goes to Redis now, as with Go's ResultWriter,
 * and asynqctl and inspectors show it. It is on its way when the call returns; of several calls in a row the last one
 * counts. It is not stored if Redis is unavailable or the lease is lost; the end of the attempt stores it in any case.
 * Returns 0, ASYNQ_E_INVALID (no result is set), ASYNQ_E_NO_MEMORY, or ASYNQ_E_STATE (the job was handed back, its
 * server is gone, or it runs in an isolated plugin). Thread: the one that runs the job.
 */
ASYNQ_API int asynq_job_flush_result(asynq_job *job);

/*
 * Ends a job whose handler returned, or is about to return, ASYNQ_OUTCOME_DEFERRED. `outcome` is an asynq_outcome, such
 * as what asynq_fail() returns. Called exactly once; the job must not be used afterwards. It is allowed, and without
 * effect, when the task was cancelled in the meantime or the server was freed. Thread: any.
 */
ASYNQ_API void asynq_complete(asynq_job *job, int outcome);

/*
 * Begins the attempt of a route with `deferred_start`: the work on the task begins now. The time limit of the attempt
 * and its duration count from here, and on_start is called, from this thread and with a lock held, so that it must not
 * call asynq_job_on_cancel(), asynq_job_wait_cancelled() or asynq_complete(). Returns true, or false if the task was
 * taken back meanwhile, or was started before: then nothing may be done for it, and its outcome is ignored. Thread:
 * any.
 */
ASYNQ_API ASYNQ_MUST_CHECK bool asynq_job_start(asynq_job *job);

/*
 * Reports the progress of a job: a fraction from 0 to 1, and a text, of which the first 200 bytes are kept. A fraction
 * below 0 and a text that is NULL leave what was reported before. `asynqctl` shows it; it goes to Redis with the
 * server's heartbeat, each 5 s, and more rarely with a payload above 64 kB, so that the call may be made at any rate.
 * It is gone with the attempt. Thread: any, until the job has ended.
 */
ASYNQ_API void asynq_job_progress(asynq_job *job, double fraction, const char *text);

/*
 * Sets a function that is called when a job is cancelled. `cb` is called once, when the cancel mark is set: on the
 * server's loop thread, with a lock held, so it must be short and call nothing of the library; or at once, if the mark
 * is set already. It is not called after asynq_complete() or the handler's end. `cb` NULL: no function any more.
 * Thread: the one that runs the job.
 */
ASYNQ_API void asynq_job_on_cancel(asynq_job *job, void (*cb)(asynq_job *job, void *arg), void *arg);

/*
 * Attaches a pointer of the program to a job. For instance in on_start, so that handler and on_end find it. The library
 * does not use it and does not free it. Thread: any, but not while another thread calls asynq_job_data().
 */
ASYNQ_API void asynq_job_set_data(asynq_job *job, void *data);

/*
 * Returns the pointer that asynq_job_set_data() attached to a job; NULL at first. Thread: any, but not while another
 * thread sets it.
 */
ASYNQ_API void *asynq_job_data(const asynq_job *job);

/* ---- attempts ---- */

/* What became of a task after an attempt: the end of an asynq_attempt. */
typedef enum asynq_attempt_end {
    ASYNQ_ATTEMPT_COMPLETED = 0,
    ASYNQ_ATTEMPT_RETRIED = 1,  /* it failed and will be tried again */
    ASYNQ_ATTEMPT_ARCHIVED = 2, /* it failed permanently */
    ASYNQ_ATTEMPT_REVOKED = 3,  /* it was dropped */
    ASYNQ_ATTEMPT_SNOOZED = 4,  /* it will be tried again and has not failed: snoozed, or is_failure said so */
    ASYNQ_ATTEMPT_REQUEUED = 5, /* the server was shut down; the task is pending again */
    ASYNQ_ATTEMPT_LOST = 6      /* the lease was lost; the server that has it now decides */
} asynq_attempt_end;

/*
 * Returns the name of an attempt's end, such as "completed" or "retried"; "?" for other values. Static storage. Thread:
 * any.
 */
ASYNQ_API const char *asynq_attempt_end_name(asynq_attempt_end end);

/*
 * An attempt that has ended, for on_end and report_end of asynq_server_options. Everything belongs to the library and
 * is valid during the call. Times are Unix time in milliseconds.
 */
typedef struct asynq_attempt {
    const asynq_job *job;
    asynq_attempt_end end;
    const char *error;        /* "" if it did not fail */
    int64_t pending_since_ms; /* when it could have been started; 0: unknown */
    int64_t started_at_ms;
    int64_t ended_at_ms;
    int64_t next_at_ms; /* of the next attempt; 0: there is none, or it is not known */
    int code;           /* what the handler set by asynq_job_set_code() before it ended; else 0 */
    asynq_cancel_reason cancel_reason;
} asynq_attempt;

/*
 * An attempt that has failed. For on_error, report_error, is_failure and retry_delay_ms of asynq_server_options.
 * Everything belongs to the library and is valid during the call.
 */
typedef struct asynq_failure {
    const asynq_job *job;
    const char *error; /* never empty */
    int outcome;       /* what the handler returned, an asynq_outcome; ASYNQ_OUTCOME_FAILED if the attempt was ended */
    int code;          /* what the handler set by asynq_job_set_code() before it ended; else 0 */
    asynq_cancel_reason cancel_reason; /* not NONE: the attempt was ended, and its handler may still be running */
    int retry_count;                   /* retries counted before */
} asynq_failure;

/* ---- routes ---- */

/*
 * A handler: runs a task. `job` is the attempt, `arg` what the route has. Returns an asynq_outcome, such as what
 * asynq_fail() or asynq_write_result() return; with ASYNQ_OUTCOME_DEFERRED the job ends by asynq_complete(). An
 * exception of C++ must not leave it. Thread: one of `concurrency` worker threads, in which it may block; or the
 * server's loop, in which it must not block, if the route's kind is ASYNQ_HANDLER_ASYNC. Calls for several tasks are
 * made at the same time.
 */
typedef int (*asynq_handler)(asynq_job *job, void *arg);

/* Where a handler is called: in a worker thread, or on the server's loop. */
typedef enum asynq_handler_kind {
    ASYNQ_HANDLER_THREAD = 0, /* blocking, in a worker thread */
    ASYNQ_HANDLER_ASYNC = 1   /* on the server's loop; must not block */
} asynq_handler_kind;

/* The kind of a backoff: how long a failed task waits for its next attempt. */
typedef enum asynq_retry_kind {
    ASYNQ_RETRY_BY_SERVER = 0, /* as retry_delay_ms of the server's options says */
    ASYNQ_RETRY_CONSTANT = 1,  /* always delay_ms */
    ASYNQ_RETRY_EXPONENTIAL =
        2,                /* delay_ms after the first attempt, then twice, four times as long, up to max_delay_ms */
    ASYNQ_RETRY_ASYNQ = 3 /* asynq_default_retry_delay_ms() */
} asynq_retry_kind;

/*
 * The backoff of a route: when a failed task is retried. An example is
 * `{ ASYNQ_RETRY_EXPONENTIAL, .delay_ms = ASYNQ_SECONDS(2), .jitter_percent = 20 }`. Durations are in milliseconds;
 * zero is the backoff of the server.
 */
typedef struct asynq_retry_policy {
    asynq_retry_kind kind;
    int64_t delay_ms;     /* more than 0 where it is used */
    int64_t max_delay_ms; /* default 1 h, or delay_ms if that is more */
    int jitter_percent;   /* how much longer or shorter it is at most, at random; 0 to 100 */
} asynq_retry_policy;

/*
 * A capacity: the number of tasks that what runs them has room for. Examples are worker processes, connections or
 * licences. It can be shared by routes and servers of a process. While a capacity is used up, the servers of this
 * process take no more tasks of the routes that name it: they stay pending, for later and for other servers, their time
 * limits do not run, and tasks of other routes pass them. To find those, a server looks at the first 32,768 tasks of a
 * queue. The routes must be in the server's own mux; those of a mux inside of it do not count.
 *
 * It must outlive the servers that use it; freeing it before only gives up the caller's share. Thread: any.
 */
typedef struct asynq_capacity asynq_capacity;

/*
 * Makes a capacity, for routes whose tasks need room. `max` is the number of tasks, from 0 on. Returns a capacity that
 * asynq_capacity_free() frees, or NULL if memory is out. Thread: any.
 */
ASYNQ_API ASYNQ_MUST_CHECK asynq_capacity *asynq_capacity_new(int max);

/*
 * Frees the caller's share of a capacity: the rest is freed with the last server that uses it. Accepts NULL. Thread:
 * any.
 */
ASYNQ_API void asynq_capacity_free(asynq_capacity *capacity);

/* Changes the number of tasks that a capacity has room for, from 0 on. What runs beyond it goes on. Thread: any. */
ASYNQ_API void asynq_capacity_set_max(asynq_capacity *capacity, int max);

/* Returns the number of tasks that use a capacity: that were taken for it and have not ended. Thread: any. */
ASYNQ_API int asynq_capacity_in_use(const asynq_capacity *capacity);

/*
 * A limit: a maximum of tasks that run at the same time on all servers together. It holds for all routes that name its
 * scope, also on servers in Go that use the semaphore of this scope (asynq's x/rate). A task over the limit waits: in
 * its server, so that it starts as soon as a place is free, or, when many wait there, among the retries. It has not
 * failed, and takes none of the server's `concurrency`. The place of a server that dies is free again after 30 s.
 */
typedef struct asynq_limit {
    const char *scope; /* name of the limit; NULL: no limit. Not blank; all servers must agree on its `max` */
    int max;           /* at least 1 */
} asynq_limit;

/*
 * A route: a type or a prefix of types, and the handler for it. It takes tasks whose type equals the pattern, or else
 * begins with it; the longest pattern wins, byte by byte:
 * "email" also takes "emails:send". The empty pattern takes what no other takes. A table of routes ends with an empty
 * row.
 */
typedef struct asynq_route {
    const char *pattern;      /* type or prefix of types */
    asynq_handler handler;    /* required */
    void *arg;                /* for the handler */
    asynq_handler_kind kind;  /* default: in a worker thread */
    asynq_retry_policy retry; /* default: that of the server */
    asynq_limit limit;        /* default: none */
    asynq_capacity *capacity; /* of what runs its tasks; NULL: there is always room. Borrowed, see there */
    bool deferred_start;      /* its tasks may wait until asynq_job_start(); only for asynchronous handlers */
} asynq_route;

/* What middleware is around: the next middleware, or the handler. Valid during the call. */
typedef struct asynq_next asynq_next;

/*
 * A middleware: code that runs around handlers. It calls asynq_next_run(), which returns the inner outcome; or it does
 * not, and the handler is not called. Returns an asynq_outcome, which may be another one; with ASYNQ_OUTCOME_DEFERRED
 * the job may have ended already. Thread: the one that runs the job.
 */
typedef int (*asynq_middleware)(asynq_job *job, asynq_next *next, void *arg);

/*
 * Runs what is inside of a middleware: the next one, or the handler. Called at most once per job. Returns its
 * asynq_outcome. Thread: the one that runs the job.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_next_run(asynq_next *next, asynq_job *job);

/* A mux: a set of routes that is built by calls, as Go's ServeMux. Not to be changed once a server that uses it
 * started. */
typedef struct asynq_mux asynq_mux;

/*
 * Makes a mux, a set of routes without any. Returns a mux that asynq_mux_free() frees, or NULL if memory is out.
 * Thread: any.
 */
ASYNQ_API ASYNQ_MUST_CHECK asynq_mux *asynq_mux_new(void);

/* Frees a mux. Only when no server uses it any more. Accepts NULL. Thread: any. */
ASYNQ_API void asynq_mux_free(asynq_mux *mux);

/*
 * Adds a route to a mux: a handler for a type or a prefix of types. The route is copied, its texts too.
 *
 * Returns 0, ASYNQ_E_INVALID (no pattern or one of white space, no handler, the pattern is taken, or backoff or limit
 * are wrong) or ASYNQ_E_NO_MEMORY. Thread: any, one at a time, before a server that uses the mux has started.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_mux_handle(asynq_mux *mux, const asynq_route *route, asynq_error *error);

/*
 * Adds middleware around all routes of a mux and its not-found handler. The first that was added is the outermost.
 * Returns 0, ASYNQ_E_INVALID (the middleware is NULL) or ASYNQ_E_NO_MEMORY. Thread: any, one at a time, before a server
 * that uses the mux has started.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_mux_use(asynq_mux *mux, asynq_middleware middleware, void *arg,
                                             asynq_error *error);

/*
 * Sets the handler for tasks whose type matches no route of a mux. Default, also with NULL: they fail with the text
 * `handler not found for task "<type>"`. Thread: any, one at a time, before a server that uses the mux has started.
 */
ASYNQ_API void asynq_mux_set_not_found(asynq_mux *mux, asynq_handler handler, void *arg);
/*
 * Runs a job by the routes of a mux: a handler for routes of another mux, whose argument is the inner `mux`.
 * Asynchronous routes of the inner mux are run as well. The effective backoff and limit are those of the innermost
 * route. Returns the asynq_outcome of the handler. Thread: the one that runs the job.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_mux_dispatch(asynq_job *job, void *mux);

/* Returns the pattern of the route that takes a type, "" if none does. The text belongs to the mux. Thread: any. */
ASYNQ_API const char *asynq_mux_match(const asynq_mux *mux, const char *type);

/*
 * Finds the handler of a type, and its argument. `handler` and `arg` are filled, either of which may be NULL; without a
 * route with those of asynq_mux_set_not_found() or, without these, the library's. Middleware is not a part of it.
 * Returns the pattern of the route, "" if there is none; the text belongs to the mux. Thread: any.
 */
ASYNQ_API const char *asynq_mux_find(const asynq_mux *mux, const char *type, asynq_handler *handler, void **arg);

/* ---- groups: many tasks become one ---- */

/*
 * An aggregation: the tasks of a group that are due together, and the one task that takes their place. A task joins a
 * group by the option `group` of asynq_task_options. Everything that calls return belongs to the aggregation. It is
 * valid during the call of the aggregator.
 */
typedef struct asynq_aggregation asynq_aggregation;

/*
 * Returns the queue or the name of the group whose tasks are aggregated. Never NULL; the texts belong to the
 * aggregation. Thread: the aggregator's.
 */
ASYNQ_API const char *asynq_aggregation_queue(const asynq_aggregation *aggregation);
ASYNQ_API const char *asynq_aggregation_group(const asynq_aggregation *aggregation);

/* Returns the number of tasks that are aggregated. Thread: the aggregator's. */
ASYNQ_API size_t asynq_aggregation_count(const asynq_aggregation *aggregation);

/*
 * Returns a task of an aggregation: its type, its payload, and its headers in `options`. `index` is from 0 on, in the
 * order in which the tasks joined the group. NULL: there are no more. The task belongs to the aggregation. Thread: the
 * aggregator's.
 */
ASYNQ_SIZED const asynq_task *asynq_aggregation_task(const asynq_aggregation *aggregation, size_t index);

/*
 * Sets the one task that takes the place of those of an aggregation, with its options. It is copied, and always goes
 * into the same queue. A second call replaces it. Returns 0, ASYNQ_E_INVALID (the task is wrong; then there is none) or
 * ASYNQ_E_NO_MEMORY. Thread: the aggregator's.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_aggregate_into(asynq_aggregation *aggregation, const asynq_task *task,
                                                      asynq_error *error);

/*
 * An aggregator: a function that makes one task of the tasks of a group, with asynq_aggregate_into(). It has less than
 * two minutes, and may block. Returns ASYNQ_OUTCOME_DONE, and the new task is enqueued and the others deleted, in one
 * step; ASYNQ_OUTCOME_REVOKED, and they are deleted; or ASYNQ_OUTCOME_FAILED, and they go back into the group two
 * minutes later. Thread: one of the server's own, one call at a time.
 */
typedef int (*asynq_aggregator)(asynq_aggregation *aggregation, void *arg);

/* ---- the server ---- */

/*
 * A queue that a server takes tasks from, and its priority: a row of a table that ends with an empty row. A name may be
 * a pattern, see asynq_server_queue(). Rows with blank names and priorities of 0 or less are ignored.
 */
typedef struct asynq_queue {
    const char *name;
    int priority; /* share of the attention; with strict_priority the order */
} asynq_queue;

/* A server: takes tasks from queues and runs them by handlers. It has a loop thread, and worker threads as needed. */
typedef struct asynq_server asynq_server;

/* What becomes of a task whose server was killed, or was cut off from Redis, while it was running. */
typedef enum asynq_lost_policy {
    ASYNQ_LOST_REQUEUE = 0, /* it is the next to run; it has not failed */
    ASYNQ_LOST_RETRY = 1    /* it has failed: retried, or archived if no retries are left */
} asynq_lost_policy;

/*
 * Options of a server. Zero means Asynq's default; durations are in milliseconds. Functions of this struct are called
 * on the server's loop thread and must not block, except those that are said to be called elsewhere.
 */
typedef struct asynq_server_options {
    const char *redis;         /* URI as in asynq_client_options; default redis://127.0.0.1:6379 */
    int concurrency;           /* tasks at the same time; default: number of processors */
    const asynq_queue *queues; /* default: "default" with priority 1 */
    bool strict_priority;      /* a queue is served only when all of higher priority are empty */
    const asynq_route *routes; /* more can be added with asynq_server_handle() */
    asynq_mux *mux;            /* used instead of `routes`; borrowed: must outlive the server and its handlers */

    /*
     * Returns the backoff in milliseconds, at least 100, where the route has none. Default:
     * asynq_default_retry_delay_ms().
     */
    int64_t (*retry_delay_ms)(const asynq_failure *failure, void *arg);
    /*
     * Returns whether a failure is counted. False: neither for the task's retries nor in statistics. Default: always
     * true.
     */
    bool (*is_failure)(const asynq_failure *failure, void *arg);
    /* Called for every failed attempt, before it is stored. */
    void (*on_error)(const asynq_failure *failure, void *arg);
    /* Called every health_interval_ms with the result of a PING; status 0 is healthy. */
    void (*on_health)(int status, const char *text, void *arg);
    void *arg; /* for all functions of this struct but `log` */

    int64_t shutdown_timeout_ms;            /* maximum wait for running tasks at a shutdown; default 8 s */
    int64_t health_interval_ms;             /* between calls of on_health; default 15 s */
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
     * The number of live servers from which on only two idle ones per queue are notified of new tasks and do the
     * upkeep; the others wait to be woken, which saves Redis most of the work of a large fleet. Default 5; below zero:
     * never.
     */
    int park_threshold;

    asynq_log_cb log;          /* default: no log; asynq_serve() logs to standard error */
    void *log_arg;             /* for `log` */
    asynq_log_level log_level; /* the lowest level that is logged */

    /*
     * Each attempt, before its handler is called, and when it has ended: when what becomes of the task is decided,
     * which is then written to Redis. For each start there is one end, unless the process dies. After an attempt that
     * ran out of time, was cancelled or lost, the handler may still be running.
     */
    void (*on_start)(asynq_job *job, void *arg);
    void (*on_end)(const asynq_attempt *attempt, void *arg);

    /*
     * Receives what asynq_inspector_tell() sent, not ended by a NUL byte. Any client of Redis that may publish can have
     * sent it: check it. Thread: the server's.
     */
    void (*on_message)(const char *text, size_t length, void *arg);

    const char *prefix; /* of all keys and channels, as for clients; default "asynq" */

    /*
     * The same as on_error and on_end, for functions that may block, for instance to call a service. A thread of the
     * server's own calls them, one at a time and in order, soon after the event. Up to max_waiting_reports wait for it,
     * 1,000 by default; what is beyond is dropped, counted in asynq_server_stats and logged. At a shutdown they are
     * called until its time limit; a call that has not returned by then may go on after asynq_server_free(). The job
     * can be read, as by asynq_job_id(), except by asynq_job_error() and asynq_job_code().
     */
    void (*report_error)(const asynq_failure *failure, void *arg);
    void (*report_end)(const asynq_attempt *attempt, void *arg);
    int64_t max_waiting_reports;

    /*
     * Tasks that a killed or cut off server was running, of the queues that this server serves. By default such a task
     * is requeued in front of all others: it has not failed. How often it was lost is counted, and at max_losses it is
     * archived, so that a task that ends its server does not end one after the other. ASYNQ_LOST_RETRY is as in Asynq:
     * each loss is a failed attempt. max_losses: default 3; below zero: any number.
     */
    asynq_lost_policy lost_tasks;
    int max_losses;

    /*
     * The session of a server: renewed each session_renewal_ms while it has tasks. When it was not for
     * session_timeout_ms, other servers requeue the tasks of this one, and this one, if it is alive, cancels them.
     * Defaults: 11 s, at least 1 s, so that a Redis that stands still for 10 s costs nothing; and a twentieth of it, at
     * most half. With shorter times the tasks of a killed server run again earlier, and pauses of a machine, of the
     * network or of Redis cost more attempts.
     */
    int64_t session_timeout_ms;
    int64_t session_renewal_ms;
} asynq_server_options;

/*
 * Returns Asynq's default backoff, in milliseconds: n^4 + 15 + random(0..29) * (n + 1) seconds, where n is the number
 * of retries that were counted so far. For a `retry_delay_ms` that sets another backoff for some tasks only. Thread:
 * any.
 */
ASYNQ_API int64_t asynq_default_retry_delay_ms(int retry_count);

/*
 * Makes a server, which runs tasks. Does not contact Redis and starts no thread: asynq_server_start() does. Options are
 * copied, `routes` and `queues` too; NULL means all defaults. Returns a server that asynq_server_free() frees, or NULL
 * after filling `error`: ASYNQ_E_INVALID (an option or a route is wrong) or ASYNQ_E_NO_MEMORY. Thread: any.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_server *asynq_server_new(const asynq_server_options *options, asynq_error *error);

/*
 * Has a server take tasks from a queue, or from all queues of a pattern. Before the start, instead of the table (array
 * literals do not exist in C++), and each only once.
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
 * Has a server take no more tasks from a queue, or from those of a pattern. Before the start it is as if it had never
 * been added. While the server runs, no task is taken from it any more; tasks that run go on, and when all of them and
 * all calls to Redis have ended, the queue's memory is freed. What waits in the queue stays there. A server without
 * queues runs on and takes nothing.
 *
 * Returns 0, ASYNQ_E_QUEUE_NOT_FOUND (the server does not serve the queue), ASYNQ_E_INVALID (name, pattern),
 * ASYNQ_E_NO_MEMORY, ASYNQ_E_STATE (stopped) or ASYNQ_E_CLOSED (shut down). Thread: any, also from handlers.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_remove_queue(asynq_server *server, const char *name, asynq_error *error);

/*
 * Adds a route to a server, before its start: instead of the table of the options, or in addition to it. The route is
 * copied, its texts too. Returns 0, ASYNQ_E_INVALID (the route is wrong or its pattern is taken), ASYNQ_E_STATE (the
 * server was started) or ASYNQ_E_NO_MEMORY. Thread: any, one at a time.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_server_handle(asynq_server *server, const asynq_route *route,
                                                     asynq_error *error);

/*
 * Starts a server's threads and returns. Redis need not be reachable: the server begins when it is. Returns 0, or
 * ASYNQ_E_STATE (running or stopped already), ASYNQ_E_CLOSED (was shut down), ASYNQ_E_INVALID (no route),
 * ASYNQ_E_NO_MEMORY, ASYNQ_E_SYSTEM. Thread: any.
 *
 * A process may fork before this call. After it, the server is the parent's: in a child, calls that can fail return
 * ASYNQ_E_STATE at once, the others do nothing, and asynq_server_status() is "closed".
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_start(asynq_server *server, asynq_error *error);

/*
 * Changes the concurrency of a server: how many tasks it runs at the same time, from 0 on. Those that run beyond the
 * new number go on; no other is taken until there are fewer. Returns 0 or ASYNQ_E_INVALID. Thread: any, at any time.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_set_concurrency(asynq_server *server, int concurrency, asynq_error *error);

/*
 * Stops a server from taking new tasks; running ones continue. The call ends when no task will be taken any more, or
 * after a second if Redis does not answer; what it may take then is requeued at once. Only asynq_server_shutdown() can
 * follow. Thread: any.
 */
ASYNQ_API void asynq_server_stop(asynq_server *server);

/*
 * Shuts a server down: waits up to shutdown_timeout_ms for running tasks, requeues the others, removes the server from
 * the lists of running servers, and ends the threads. It ends within the limit and a second, also when Redis is
 * down or hangs: tasks that could not be requeued, or whose outcomes could not be written, stay leased until other
 * servers recover and run them again, and one warning in the log says how many of which queues. No effect before the
 * start or a second time. Thread: any but the server's own.
 */
ASYNQ_API void asynq_server_shutdown(asynq_server *server);

/*
 * Ends a shutdown's wait for running tasks: of an asynq_server_shutdown() that is under way in another thread, or of
 * the next one. They are requeued at once. Thread: any.
 */
ASYNQ_API void asynq_server_shutdown_now(asynq_server *server);

/*
 * Frees a server, after a shutdown if it still runs. Accepts NULL. Handlers that did not return in time may still run
 * afterwards, and jobs of asynchronous handlers may still be completed; both end without effect. Thread: any but the
 * server's own.
 */
ASYNQ_API void asynq_server_free(asynq_server *server);

/*
 * Returns the status of a server: "new", "active", "stopped" or "closed". Static storage. Thread: any.
 */
ASYNQ_API const char *asynq_server_status(const asynq_server *server);

/*
 * Checks that a server reaches Redis and is ready to take tasks. Waits until Redis answers a PING over the server's own
 * connection, at most `timeout_ms` milliseconds; with 0 it tries once. It does not wait for what time does not repair,
 * such as a wrong password, which asynq_server_start() does not find, as it needs no Redis.
 *
 * Returns 0, ASYNQ_E_UNAVAILABLE or ASYNQ_E_TIMEOUT (the text has the reason), ASYNQ_E_AUTH, ASYNQ_E_VERSION,
 * ASYNQ_E_REDIS, ASYNQ_E_NO_MEMORY, ASYNQ_E_STATE (not started, or called from one of its functions on the loop) or
 * ASYNQ_E_CLOSED (shut down). Thread: any but the server's own.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_ping(asynq_server *server, int64_t timeout_ms, asynq_error *error);

/* The state of a server, for health checks and metrics. Counted since its start. */
typedef struct asynq_server_stats {
    bool is_connected;         /* with Redis */
    bool is_fetching;          /* takes tasks, or would */
    int64_t running;           /* tasks */
    int64_t commands;          /* sent to Redis for tasks */
    int64_t leases_lost;       /* tasks whose lease was lost before they ended */
    int64_t last_loop_ms;      /* Unix time in ms: when its loop last ran; it does at least each second */
    int64_t last_heartbeat_ms; /* Unix time in ms: the last heartbeat that Redis acknowledged; 0: none */
    int64_t reports_dropped;   /* beyond max_waiting_reports */
    int64_t tasks_recovered;   /* of servers that were killed or cut off */
} asynq_server_stats;

/* Reads the state of a server, for health checks and metrics, as of the last turn of its loop. Thread: any. */
ASYNQ_SIZED void asynq_server_get_stats(const asynq_server *server, asynq_server_stats *stats);

/*
 * Runs a server until the process receives a signal: TERM and INT shut it down, and a second one has it requeue running
 * tasks at once; TSTP stops it from taking tasks. Of all calls only asynq_server_run() and asynq_serve() handle
 * signals; the signal mask is restored afterwards.
 *
 * Returns 0 after a clean end, or why it could not start, which is also logged. Errors: those of asynq_server_start().
 * Thread: the main thread, before others are started.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_server_run(asynq_server *server, asynq_error *error);

/*
 * Makes, runs and frees a server, with a log on standard error: a whole main(). Signals are those of
 * asynq_server_run(). Without `log` in the options the log goes to asynq_log_to_stderr(). Returns 0 after a clean end,
 * or 1 after an error, which is logged: an exit status. Thread: the main thread, before others are started.
 */
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
