/*
 * Routes as they are configured: the list of routes is a setting, of which each item chooses its handler by the
 * handler's key. Here alone all kinds of handlers are known. Thread: any, one at a time.
 */
#ifndef DAEMON_ROUTES_H
#define DAEMON_ROUTES_H

#include "handler/route.h"

extern const handler_kind *const handler_kinds[]; /* ends with NULL */

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
