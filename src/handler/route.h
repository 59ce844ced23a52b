/*
 * Routes as they are configured: which handler takes a type of tasks, and how it is retried and limited. The list of
 * routes is a setting; each item chooses its handler by the handler's key.
 */
#ifndef HANDLER_ROUTE_H
#define HANDLER_ROUTE_H

#include "handler/handler.h"

#include <asynq/client.h>

typedef struct route_retry {
    int kind; /* asynq_retry_kind */
    int64_t delay_ms, most_ms, jitter_percent;
} route_retry;

struct route {
    const char *type;   /* the pattern */
    const char *origin; /* "asynqd.yaml:12: routes[2]: ", for complaints */
    route_retry retry;
    struct {
        const char *scope;
        int64_t most;
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

/* The keys of a route, and of its retry and limit. */
extern const setting route_table[], route_retry_table[], route_limit_table[];

/* The keys of its defaults; their offsets count from the options of a task. */
const setting *route_defaults_table(void);

/* The `read` of a setting of kind OTHER; the target is the field, a route_list. */
int route_list_read(settings *file, settings_node *node, route_list *list, asynq_error *error);
void route_list_clear(route_list *list);

/* Hands over the route for a mux. */
asynq_route route_for_mux(const route *r, asynq_handler handler, void *arg, asynq_handler_kind kind);

#endif
