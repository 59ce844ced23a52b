/*
 * What those who make tasks need of the routes: whether one takes a type, and the options that its tasks get. The
 * routes may be set again; texts that were given out stay.
 */
#ifndef HANDLER_ROUTE_LOOKUP_H
#define HANDLER_ROUTE_LOOKUP_H

#include "handler/route.h"

typedef struct route_lookup route_lookup;

/* NULL: out of memory. */
route_lookup *route_lookup_new(const route_list *routes);
/* Accepts NULL. */
void route_lookup_free(route_lookup *l);

/* Copies what it needs. False: out of memory, and all is as it was. Thread: one at a time. */
bool route_lookup_set(route_lookup *l, const route_list *routes);

/* The route that takes this type has these defaults. False: there is none. Thread: any. */
bool route_lookup_find(route_lookup *l, const char *type, asynq_task_options *defaults);
/* The same as the `defaults` of a scheduler; the argument is the route_lookup. */
void route_lookup_fill(const char *type, asynq_task_options *options, void *lookup);

#endif
