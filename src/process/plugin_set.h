/*
 * The plug-ins that run in asynqd's threads, of a list of routes. To load, start and stop them takes as long as their
 * authors like, or for ever: the loop does none of it once it turns.
 */
#ifndef PROCESS_PLUGIN_SET_H
#define PROCESS_PLUGIN_SET_H

#include "event/errands.h"
#include "process/plugin.h"

typedef struct plugin_set plugin_set;

/* Loads and starts those that no other set has. NULL with `error`: then none of this set runs. Thread: see
 * plugin_load(). */
plugin_set *plugin_set_load(const route_list *routes, asynq_error *error);
/* NULL: the route with this index needs none. */
plugin *plugin_set_at(const plugin_set *set, size_t index);

/* Stops those that no other set has. Accepts NULL. Thread: see plugin_load(). */
void plugin_set_free(plugin_set *set);
/* The same by a thread of errands; by this one if there is none, or they are ending. Accepts NULL. Thread: the loop's.
 */
void plugin_set_leave(plugin_set *set, errands *thread);

#endif
