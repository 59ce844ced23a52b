/*
 * Frames between asynqd and its worker processes, as docs/worker-protocol.md has them: a length of four bytes, the most
 * significant first, and so many bytes of MessagePack, a map with texts for keys. Keys that are not known are skipped,
 * so that either side may be newer.
 */
#ifndef PROCESS_FRAME_H
#define PROCESS_FRAME_H

#include "base/buf.h"
#include "base/bytes.h"

#include <msgpack.h>
#include <stdint.h>

enum { FRAME_VERSION = 1, FRAME_HEADER = 4, FRAME_MAX = 64 << 20, FRAME_MAX_HEADERS = 256 };

typedef enum frame_type {
    FRAME_HELLO,     /* worker: what it is; the first frame */
    FRAME_WELCOME,   /* asynqd: the answer */
    FRAME_TASK,      /* asynqd: work */
    FRAME_CANCEL,    /* asynqd: end this task soon */
    FRAME_SHUTDOWN,  /* asynqd: finish what you have, and end */
    FRAME_HEARTBEAT, /* worker: alive */
    FRAME_RESULT,    /* worker: done */
    FRAME_ERROR,     /* worker: failed */
    FRAME_LOG        /* worker: a line for the log */
} frame_type;

/* What becomes of a task that failed. */
typedef enum frame_failure { FAILURE_RETRY, FAILURE_PERMANENT, FAILURE_REVOKE, FAILURE_SNOOZE } frame_failure;

typedef struct frame_pair {
    bytes key, value;
} frame_pair;

/* Fields that a type does not have are zero, or absent (data NULL). */
typedef struct frame {
    int type;         /* frame_type */
    int64_t version;  /* hello, welcome */
    int64_t call;     /* names a task under way; 0: none */
    bytes name;       /* hello: of the program; welcome: of the pool; error: of the kind of error */
    int64_t capacity; /* hello: tasks at the same time */
    bytes id, task_type, queue, payload;
    int64_t retried, max_retry, deadline_ms;
    const frame_pair *headers;
    size_t header_count;
    bytes result;
    int failure; /* frame_failure */
    int64_t retry_in_ms;
    double progress; /* 0 to 1; below 0: not said */
    bytes level;     /* "debug", "info", "warn", "error" */
    bytes text;      /* cancel, error, log, heartbeat */
} frame;

/* Appends the frame with its length. */
void frame_append(const frame *f, buf *out);

/* Length of the frame that begins here, with its header; 0: not known yet; above FRAME_MAX, which may be more than a
 * size can be: it is wrong. */
uint64_t frame_length(const char *data, size_t length);

/*
 * Decodes the bytes behind the header. What it points to is in `data` and `zone`. Returns 0, ASYNQ_E_MALFORMED with
 * what is wrong, or ASYNQ_E_NO_MEMORY.
 */
ASYNQ_MUST_CHECK int frame_decode(frame *f, const char *data, size_t length, msgpack_zone *zone, asynq_error *error);

/*
 * Takes the whole frames from the beginning of `in`, one by one, as long as `take` returns true. Returns 0,
 * ASYNQ_E_MALFORMED (what is not a frame, or too large) or ASYNQ_E_NO_MEMORY; the rest is of no use then.
 */
ASYNQ_MUST_CHECK int frame_take_all(buf *in, bool (*take)(void *arg, const frame *f), void *arg, asynq_error *error);

const char *frame_type_name(int type);

#endif
