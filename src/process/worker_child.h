/*
 * The child that a worker process is, and the socket between it and us, which it has as descriptor 3. Both are the
 * caller's. Thread: that of the daemon's loop.
 */
#ifndef PROCESS_WORKER_CHILD_H
#define PROCESS_WORKER_CHILD_H

#include "process/child.h"
#include "process/worker_options.h"

/* What the child tells of; see child.h. */
typedef struct worker_child_events {
    void (*on_output)(void *arg, int stream, const char *data, size_t length);
    void (*on_end)(void *arg, const child_end *end);
    void *arg;
} worker_child_events;

/* Sets `fd`, our end of the socket. NULL with `error`. */
child *worker_child_start(loop *l, const worker_options *options, const worker_child_events *events, int *fd,
                          asynq_error *error);

/* How much memory it has; 0: not known. */
int64_t worker_child_memory(child *started);

#endif
