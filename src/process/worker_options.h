/*
 * What a configuration says about a pool of worker processes. It lives in the memory of its settings. Thread: any, one
 * at a time while it is read; then it is not changed.
 */
#ifndef PROCESS_WORKER_OPTIONS_H
#define PROCESS_WORKER_OPTIONS_H

#include "process/process.h"

typedef struct worker_options {
    const char *name;   /* of the pool */
    const char *origin; /* "asynqd.yaml:12: workers.python: "; NULL: it is made by us */
    setting_list argv, watch;
    int64_t size, max_tasks, max_tasks_per_process, soft_memory_limit, max_memory;
    int64_t start_timeout_ms, silence_ms, grace_ms, max_error, max_result;
    process_options process;

    uint64_t stamp; /* of its program; made by worker_program_prepare() */
} worker_options;

typedef struct worker_list {
    worker_options *items;
    size_t count, capacity;
} worker_list;

extern const setting worker_pool_table[];

/* The `read` of a setting of kind OTHER: a mapping of names to pools. */
int worker_list_read(settings *file, settings_node *node, worker_list *list, asynq_error *error);

/* True if the same pools would be made of both, with whatever programs. */
bool worker_list_is_same(const worker_list *a, const worker_list *b);

#endif
