/*
 * Enqueueing tasks.
 *
 *     asynq_client *client = asynq_client_new(&(asynq_client_options){ .redis = "redis://127.0.0.1:6379" }, &error);
 *     asynq_task task = { .type = "email:send", .payload = json, .payload_length = strlen(json),
 *                         .options = { .queue = "critical", .max_retry = 3 } };
 *     if (asynq_enqueue(client, &task, NULL, NULL, &error))
 *         fprintf(stderr, "%s\n", error.text);
 *
 * Structs: zero means Asynq's default everywhere. To request a literal zero or "none", write ASYNQ_NONE. Fill
 * structs by name: later versions add members at their ends, which programs that were built before do not need to know,
 * see sizes.h.
 *
 * Times are milliseconds. What Asynq stores in whole seconds (timeout, deadline, retention, unique) is rounded up: no
 * duration becomes shorter than it was given, and what asynq_enqueued tells is what is stored. Times of running are
 * stored to the millisecond. A negative duration or deadline is refused; a process time that has passed means now.
 */
#ifndef ASYNQ_CLIENT_H
#define ASYNQ_CLIENT_H

#include <asynq/error.h>
#include <asynq/log.h>
#include <asynq/sizes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The value for "none" or a literal zero in options, where zero means "the default". */
#define ASYNQ_NONE INT64_MIN

/* Durations in milliseconds, for the members and arguments whose names end with `_ms`. */
#define ASYNQ_SECONDS(n) (INT64_C(1000) * (n))
#define ASYNQ_MINUTES(n) ASYNQ_SECONDS(INT64_C(60) * (n))
#define ASYNQ_HOURS(n) ASYNQ_MINUTES(INT64_C(60) * (n))

/* Maximum lengths of ids and names that are enqueued. */
enum {
    ASYNQ_ID_MAX = 127,   /* bytes of a task id that this library writes; ids of others may be longer */
    ASYNQ_NAME_MAX = 1024 /* bytes of a type, queue or group name that this library writes */
};

/* ---- the client ---- */

/*
 * A client: enqueues tasks. It has one connection to Redis and a thread of its own, and can be used by any number of
 * threads at once; what they enqueue travels together. One client per process is enough.
 */
typedef struct asynq_client asynq_client;

/* Options of a client. Zero means the default. */
typedef struct asynq_client_options {
    const char *redis;  /* URI: redis://, rediss:// (TLS), unix://, redis-sentinel://, redis-cluster:// (docs/redis.md);
                           default redis://127.0.0.1:6379 */
    int64_t timeout_ms; /* maximum wait for Redis of one call, in milliseconds; default 10 s */
    size_t max_waiting_bytes;  /* maximum of asynchronous calls not yet answered; then ASYNQ_E_BUSY; default 64 MiB */
    bool disable_dedup;        /* see asynq_enqueue(); saves two writes per batch */
    asynq_log_cb log;          /* default: no log */
    void *log_arg;             /* for `log` */
    asynq_log_level log_level; /* the lowest level that is logged */
    const char *prefix;        /* what all keys and channels begin with; default "asynq", see docs/redis.md */
    int replicas; /* number of replicas that have each task before the call returns; default 0: it waits for none */
    int64_t replicas_timeout_ms; /* maximum wait for replicas and `fsync`, in milliseconds; up to 60 s; default 1 s */
    bool fsync; /* wait until the task is on the disk of Redis and of these replicas (Redis 7.2, appendonly yes) */
} asynq_client_options;

/*
 * Makes a client, which enqueues tasks. Does not contact Redis yet: that happens with the first call that needs it, in
 * a thread of the client's own, so a process may fork between this call and the first enqueue. After that only the
 * parent can use the client; in the child each call fails with ASYNQ_E_STATE.
 *
 * `options` is copied; NULL means all defaults.
 *
 * Returns a client that asynq_client_free() frees, or NULL after filling `error`: ASYNQ_E_INVALID (an option is wrong)
 * or ASYNQ_E_NO_MEMORY. Thread: any. The client can be used by any number of threads at once; what they enqueue travels
 * together.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_client *asynq_client_new(const asynq_client_options *options, asynq_error *error);

/*
 * Frees a client. Waits for calls under way, each of which ends within the client's timeout. Accepts NULL. In a child
 * of a fork it does nothing: what belongs to the parent's thread cannot be freed there. Thread: any, but no other
 * thread may still use the client, and not from a callback of the client.
 */
ASYNQ_API void asynq_client_free(asynq_client *client);

/*
 * Checks that a client reaches Redis: sends a PING and waits for the answer, at most the client's timeout.
 *
 * Returns 0, ASYNQ_E_UNAVAILABLE, ASYNQ_E_AUTH, ASYNQ_E_VERSION, ASYNQ_E_REDIS, ASYNQ_E_NO_MEMORY or ASYNQ_E_STATE
 * (in a child of a fork, or from a callback of the client). Thread: any but the client's own.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_client_ping(asynq_client *client, asynq_error *error);

/* ---- tasks ---- */

/* A header of a task: a key and a value that travel with the task beside its payload. */
typedef struct asynq_header {
    const char *key;   /* not NULL */
    const char *value; /* NULL: an empty value */
} asynq_header;

/*
 * Options of a task. They can be in the task and be given again per call: the call takes precedence, and headers are
 * merged by key. Zero means the default. Times and durations are in milliseconds; timeout, deadline, retention and
 * unique are stored in whole seconds, rounded up.
 */
typedef struct asynq_task_options {
    const char *queue;   /* default "default" */
    const char *id;      /* default a random UUID; unique in its queue */
    int64_t max_retry;   /* retries after the first attempt; default 25; below zero or ASYNQ_NONE: none */
    int64_t timeout_ms;  /* of one attempt; default 30 min if there is no deadline; ASYNQ_NONE: practically none */
    int64_t deadline_ms; /* Unix time in ms after which no attempt runs; default none */
    int64_t unique_ms;   /* for this time no second task of equal type, payload and queue; at least 1 s; default off */
    int64_t process_at_ms;       /* Unix time in ms, until the year 9999; never begins earlier; default now */
    int64_t process_in_ms;       /* from now; give this or process_at_ms */
    int64_t retention_ms;        /* how long a completed task is kept; default: not at all */
    const char *group;           /* collect the task in a group instead of running it; default none */
    const asynq_header *headers; /* NULL: none */
    size_t header_count;
} asynq_task_options;

/* A task to be enqueued. It belongs to the caller; a call that takes it keeps nothing of it. */
typedef struct asynq_task {
    const char *type;      /* chooses the handler; not blank */
    const void *payload;   /* any bytes; NULL: no payload, which differs from an empty one only for unique_ms */
    size_t payload_length; /* at most 511 MB */
    asynq_task_options options;
} asynq_task;

/* The state of a task, under Asynq's names and numbers. */
typedef enum asynq_state {
    ASYNQ_STATE_ACTIVE = 1,     /* a server runs it */
    ASYNQ_STATE_PENDING = 2,    /* in its queue, ready to run */
    ASYNQ_STATE_SCHEDULED = 3,  /* due at a later time */
    ASYNQ_STATE_RETRY = 4,      /* an attempt failed or was snoozed; the next one is due at a later time */
    ASYNQ_STATE_ARCHIVED = 5,   /* failed permanently, or archived by an operator */
    ASYNQ_STATE_COMPLETED = 6,  /* succeeded, and kept for its retention */
    ASYNQ_STATE_AGGREGATING = 7 /* waits in a group */
} asynq_state;

/*
 * The result of enqueueing one task: its id, state and options as they are stored, or why it was not created. Belongs
 * to the caller, and nothing has to be freed.
 */
typedef struct asynq_enqueued {
    asynq_error error;          /* error.code is 0 when the task was created */
    char id[ASYNQ_ID_MAX + 1];  /* ended by a NUL byte */
    asynq_state state;          /* pending, scheduled or aggregating */
    int64_t next_process_at_ms; /* Unix time in ms; 0 for grouped tasks */
    int64_t max_retry;          /* as stored, like those that follow */
    int64_t timeout_ms;         /* 0: none */
    int64_t deadline_ms;        /* Unix time in ms; 0: none */
    int64_t retention_ms;       /* 0: none */
    int replicas;               /* number that have it, if the client waits for replicas or disks */
} asynq_enqueued;

/*
 * Enqueues one task and waits for Redis's answer. `options` (may be NULL) overrides the task's own. `result` and
 * `error` may be NULL. Nothing is kept of the arguments.
 *
 * Returns 0, or ASYNQ_E_INVALID (nothing was sent), ASYNQ_E_DUPLICATE (unique_ms: an equal task holds the lock),
 * ASYNQ_E_CONFLICT (a task with this id exists in the queue, in any state), ASYNQ_E_UNAVAILABLE (certainly not
 * enqueued), ASYNQ_E_OUTCOME_UNKNOWN (the connection was lost and did not come back in time: it may be enqueued),
 * ASYNQ_E_AUTH, ASYNQ_E_VERSION, ASYNQ_E_REDIS_FULL, ASYNQ_E_REDIS, ASYNQ_E_NO_MEMORY, or ASYNQ_E_NOT_DURABLE (the
 * task is enqueued, but `replicas` or `fsync` of the client was not reached in time: a failover may lose it).
 *
 * If the connection dies before the answer, the call is repeated until the timeout in a way that creates the task
 * once: each batch leaves its number and results for ten minutes in a key `asynq:{<queue>}:libasynq:client:<id>`,
 * which the repeat reads first. With disable_dedup a repeat may report a conflict for a task it created itself,
 * or create again a task that has already run.
 * Thread: any but the client's own (in a callback use asynq_enqueue_async()); there it returns ASYNQ_E_STATE.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_enqueue(asynq_client *client, const asynq_task *task,
                                               const asynq_task_options *options, asynq_enqueued *result,
                                               asynq_error *error);

/*
 * Enqueues many tasks, of any mix of queues and options, in few round trips, and waits. `tasks` is an array of `count`
 * structs; `options` (may be NULL) apply to all; `results` is NULL or an array of `count`. One task that fails does not
 * keep the others from being enqueued; tasks of one queue keep their order.
 *
 * Returns 0 if all were created, otherwise the status of the first that was not, and its text in `error`. Errors: those
 * of asynq_enqueue(). Thread: any but the client's own.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_enqueue_batch(asynq_client *client, const asynq_task *tasks, size_t count,
                                                     const asynq_task_options *options, asynq_enqueued *results,
                                                     asynq_error *error);

/*
 * Enqueues many tasks with a time limit of this call's own. In milliseconds, instead of the client's; 0: the client's.
 * In all else it is asynq_enqueue_batch(). The limit begins anew with each chunk of 64 tasks. Tasks without an answer
 * by then have ASYNQ_E_UNAVAILABLE or ASYNQ_E_OUTCOME_UNKNOWN.
 *
 * Returns 0 if all were created, otherwise the status of the first that was not, and its text in `error`. Errors: those
 * of asynq_enqueue(). Thread: any but the client's own.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_enqueue_within(asynq_client *client, const asynq_task *tasks, size_t count,
                                                      const asynq_task_options *options, int64_t timeout_ms,
                                                      asynq_enqueued *results, asynq_error *error);

/*
 * A function that receives the result of asynq_enqueue_async(). `result` is valid during the call; `arg` is what that
 * call was given. It must not block: all calls of the client wait meanwhile. Thread: the client's own.
 */
typedef void (*asynq_enqueued_cb)(const asynq_enqueued *result, void *arg);

/*
 * Enqueues a task without waiting for Redis. `callback` (may be NULL) gets the result later. Nothing is kept of the
 * task; `options` may be NULL. Tasks of one queue keep their order.
 *
 * Returns 0, and then `callback` is called exactly once, also when the client is freed; or ASYNQ_E_INVALID,
 * ASYNQ_E_BUSY (`max_waiting_bytes` are waiting), ASYNQ_E_NO_MEMORY or ASYNQ_E_STATE (in a child of a fork), and then
 * it is never called. Thread: any, also from `callback`.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_enqueue_async(asynq_client *client, const asynq_task *task,
                                                     const asynq_task_options *options, asynq_enqueued_cb callback,
                                                     void *arg, asynq_error *error);

/*
 * Waits until everything that was enqueued before has its result, and its callbacks have returned. Each call ends
 * within the client's timeout. Thread: any but the client's own.
 */
ASYNQ_API void asynq_client_flush(asynq_client *client);

/*
 * Waits until everything that was enqueued before has its result, at most `timeout_ms` milliseconds. Returns 0,
 * ASYNQ_E_TIMEOUT (the text says how many calls are left, which go on) or ASYNQ_E_STATE (in a child of a fork, or from
 * a callback of the client). Thread: any but the client's own.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_client_flush_within(asynq_client *client, int64_t timeout_ms, asynq_error *error);

/* ---- sizes: see sizes.h ---- */

/* clang-format off */
static const size_t asynq_client_sizes[] ASYNQ_UNUSED = {
    6,
    sizeof(asynq_error),
    sizeof(asynq_header),
    sizeof(asynq_task_options),
    sizeof(asynq_task),
    sizeof(asynq_enqueued),
    sizeof(asynq_client_options),
};
/* clang-format on */
static const asynq_sizes asynq_sizes_of_client ASYNQ_UNUSED = {{asynq_client_sizes}};

ASYNQ_SIZED_API ASYNQ_MUST_CHECK asynq_client *
asynq_client_new_sized(const asynq_sizes *sizes, const asynq_client_options *options, asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_enqueue_sized(const asynq_sizes *sizes, asynq_client *client,
                                                         const asynq_task *task, const asynq_task_options *options,
                                                         asynq_enqueued *result, asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_enqueue_batch_sized(const asynq_sizes *sizes, asynq_client *client,
                                                               const asynq_task *tasks, size_t count,
                                                               const asynq_task_options *options,
                                                               asynq_enqueued *results, asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_enqueue_within_sized(const asynq_sizes *sizes, asynq_client *client,
                                                                const asynq_task *tasks, size_t count,
                                                                const asynq_task_options *options, int64_t timeout_ms,
                                                                asynq_enqueued *results, asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK int
asynq_enqueue_async_sized(const asynq_sizes *sizes, asynq_client *client, const asynq_task *task,
                          const asynq_task_options *options, asynq_enqueued_cb callback, void *arg, asynq_error *error);

#ifndef ASYNQ_OWN_STRUCTS
#define asynq_client_new(...) asynq_client_new_sized(&asynq_sizes_of_client, __VA_ARGS__)
#define asynq_enqueue(...) asynq_enqueue_sized(&asynq_sizes_of_client, __VA_ARGS__)
#define asynq_enqueue_batch(...) asynq_enqueue_batch_sized(&asynq_sizes_of_client, __VA_ARGS__)
#define asynq_enqueue_within(...) asynq_enqueue_within_sized(&asynq_sizes_of_client, __VA_ARGS__)
#define asynq_enqueue_async(...) asynq_enqueue_async_sized(&asynq_sizes_of_client, __VA_ARGS__)
#endif

#ifdef __cplusplus
}
#endif

#endif
