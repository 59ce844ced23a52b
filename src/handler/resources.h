/*
 * What asynqd has for its tasks, and the shortages of it: one of processes, for which only the routes wait that start
 * some, and one of everything else, for which all do. Thread: that of the daemon's loop.
 */
#ifndef HANDLER_RESOURCES_H
#define HANDLER_RESOURCES_H

#include "handler/shortage.h"

#include <asynq/server.h>

typedef struct resources resources;

/* The options are those of the shortage that concerns all. NULL: out of memory. */
resources *resources_new(const shortage_options *options);
/* Accepts NULL. */
void resources_free(resources *r);

/* `what` could not be had; `problem` is the errno. `for_process`: a process was to be started. */
void resources_tell(resources *r, bool for_process, const char *what, int problem);

/* What the tasks take up that start processes. */
asynq_capacity *resources_processes(const resources *r);
/* How many tasks may run at the same time; INT64_MAX: as many as are wanted. */
int64_t resources_limit(const resources *r);

/* For readiness, NULL: nothing is lacking. Valid until the next turn. */
const char *resources_problem(const resources *r);
/* Whether no tasks of any route are taken. */
bool resources_are_paused(const resources *r);

#endif
