/*
 * Errors: one list of codes, and a value that carries a sentence for a person.
 *
 * Calls that can fail return 0 or one of the negative codes below. Calls that take an `asynq_error *` also fill
 * it with what is wrong, where, and what to do; pass NULL when the code is enough.
 */
#ifndef ASYNQ_ERROR_H
#define ASYNQ_ERROR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASYNQ_API __attribute__((visibility("default")))
#define ASYNQ_MUST_CHECK __attribute__((warn_unused_result))
#define ASYNQ_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))

/* Every error: name, number, may the same call succeed later without a change by the caller?, text */
#define ASYNQ_ERROR_MAP(X)                                                                                             \
    X(INVALID, -1, false, "invalid argument or option")                                                                \
    X(DUPLICATE, -2, false, "task already exists")                                                                     \
    X(CONFLICT, -3, false, "task ID conflicts with another task")                                                      \
    X(NOT_FOUND, -4, false, "not found")                                                                               \
    X(UNAVAILABLE, -5, true, "Redis cannot be reached")                                                                \
    X(OUTCOME_UNKNOWN, -6, true, "the connection was lost before the answer came")                                     \
    X(REDIS, -7, false, "Redis answered with an error")                                                                \
    X(AUTH, -8, false, "authentication failed")                                                                        \
    X(VERSION, -9, false, "Redis is too old")                                                                          \
    X(NO_MEMORY, -10, true, "out of memory")                                                                           \
    X(CLOSED, -11, false, "already closed")                                                                            \
    X(TIMEOUT, -12, true, "timed out")                                                                                 \
    X(MALFORMED, -13, false, "malformed data")                                                                         \
    X(STATE, -14, false, "not possible in this state")                                                                 \
    X(REDIS_FULL, -15, true, "Redis is out of memory")                                                                 \
    X(BUSY, -16, true, "too much is waiting already")                                                                  \
    X(SYSTEM, -17, false, "the operating system refused")                                                              \
    X(LEASE_LOST, -18, false, "the task now belongs to another server")                                                \
    X(NOT_DURABLE, -19, false, "enqueued, but not on as many replicas or disks as asked for")                          \
    X(QUEUE_NOT_FOUND, -20, false, "queue not found")                                                                  \
    X(TASK_NOT_FOUND, -21, false, "task not found")                                                                    \
    X(QUEUE_NOT_EMPTY, -22, false, "queue is not empty")                                                               \
    X(TASK_ACTIVE, -23, false, "not possible with an active task")                                                     \
    X(ALREADY, -24, false, "already as asked for")

/*
 * The status of a call: ASYNQ_OK, or a negative code that says why it failed. Calls return it as `int`. More codes may
 * follow in later versions. Of the codes that are said to be temporary, asynq_status_is_retryable() is true.
 */
typedef enum asynq_status {
    ASYNQ_OK = 0,
#define ASYNQ_ERROR_ENUM(name, number, retryable, text) ASYNQ_E_##name = number,
    ASYNQ_ERROR_MAP(ASYNQ_ERROR_ENUM)
#undef ASYNQ_ERROR_ENUM
} asynq_status;

/*
 * The error of a call: a code, and a sentence that says what is wrong, where, and what to do. A call that takes an
 * `asynq_error *` fills it when it fails; NULL may be passed where the code is enough. After a failure `text` is never
 * empty; it always ends with a NUL byte. It is a value: it can be copied, and nothing has to be freed.
 */
typedef struct asynq_error {
    int code;       /* an asynq_status */
    char text[252]; /* a human-readable sentence, UTF-8, ended by a NUL byte */
} asynq_error;

/*
 * Returns the general text of an error code, such as "task already exists". What a certain call failed with is in the
 * `text` of its asynq_error. Never NULL; static storage. Thread: any.
 */
ASYNQ_API const char *asynq_status_text(int code);

/*
 * Returns the name of an error code, such as "ASYNQ_E_DUPLICATE". For logs and metrics: unlike the text, it does not
 * change. Never NULL; static storage. Thread: any.
 */
ASYNQ_API const char *asynq_status_name(int code);

/*
 * Returns whether an error is temporary. True: the same call may succeed later without a change by the caller. False:
 * repeating it is of no use. Thread: any.
 */
ASYNQ_API bool asynq_status_is_retryable(int code);

#ifdef __cplusplus
}
#endif

#endif
