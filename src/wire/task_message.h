/*
 * TaskMessage: a task as it stands in the field `msg` of its hash (spec 4.1). Changing what is written here changes
 * what Go peers read: tests/unit holds the golden bytes.
 */
#ifndef WIRE_TASK_MESSAGE_H
#define WIRE_TASK_MESSAGE_H

#include "wire/record.h"

typedef struct task_header {
    bytes key;
    bytes value;
} task_header;

/* All bytes are borrowed: from the caller when encoding, from the arena after decoding. */
typedef struct task_message {
    bytes type;
    bytes payload;
    bytes id;
    bytes queue;
    int32_t retry;   /* most retries; the task runs at most retry + 1 times */
    int32_t retried; /* retries counted so far */
    bytes error_msg;
    int64_t timeout;        /* seconds for one attempt, 0: none */
    int64_t deadline;       /* Unix seconds, 0: none */
    bytes unique_key;       /* full name of the lock, empty: none */
    int64_t last_failed_at; /* Unix seconds, 0: never */
    int64_t retention;      /* seconds to keep after success */
    int64_t completed_at;   /* Unix seconds, 0: not completed */
    bytes group_key;
    const task_header *headers; /* sorted by key, each key once */
    size_t header_count;
    record_unknown unknown;
} task_message;

/*
 * Appends the canonical bytes; headers are written in the order given. Returns 0, ASYNQ_E_MALFORMED for a text that is
 * not UTF-8, or ASYNQ_E_NO_MEMORY.
 */
ASYNQ_MUST_CHECK int task_message_encode(const task_message *message, buf *out, asynq_error *error);

/* Reads a message. `into` must have been set up by record_arena_init() and owns everything in the result. */
ASYNQ_MUST_CHECK int task_message_decode(task_message *message, bytes from, arena *into, asynq_error *error);

/*
 * Sorts headers by key and drops all but the last of equal keys; `count` becomes how many are left. `scratch` lends the
 * memory. Returns 0, or a status as record_failure().
 */
ASYNQ_MUST_CHECK int task_headers_normalize(task_header *headers, size_t *count, arena *scratch, asynq_error *error);

#endif
