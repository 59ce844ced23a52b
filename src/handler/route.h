/*
 * A route: which handler takes a type of tasks, and how it is retried and limited. It lives in the memory of its
 * settings, and is not changed once it has been read. Thread: any.
 */
#ifndef HANDLER_ROUTE_H
#define HANDLER_ROUTE_H

#include "handler/handler.h"

#include <asynq/client.h>

typedef struct route_retry {
    int kind; /* asynq_retry_kind */
    int64_t delay_ms, max_ms, jitter_percent;
} route_retry;

struct route {
    const char *type;   /* the pattern */
    const char *origin; /* "asynqd.yaml:12: routes[2]: ", for complaints */
    route_retry retry;
    struct {
        const char *scope;
        int64_t max;
    } limit;
    const handler_kind *kind;
    void *options; /* kind->size bytes */
    bool has_retry, has_limit;
    asynq_task_options defaults; /* of the tasks that are enqueued here */
};

typedef struct route_list {
    route *items;
    size_t count, capacity;
} route_list;

#endif
