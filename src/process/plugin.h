/* Plug-ins: handlers in shared objects, see <asynq/plugin.h>. */
#ifndef PROCESS_PLUGIN_H
#define PROCESS_PLUGIN_H

#include "base/structs.h"
#include "handler/route.h"
#include "process/worker.h"
#include "process/worker_options.h"

#include <asynq/plugin.h>

typedef struct plugin plugin;

/* What a route says. */
typedef struct plugin_route {
    const char *path, *config;
    bool is_isolated;
    int64_t size;
    worker_route worker; /* if it is isolated; made by plugin_add_pools() */
} plugin_route;

extern const handler_kind handler_plugin;

/*
 * Loads and starts one, or gives the one that runs already another user. Returns NULL with `error` if it cannot be, is
 * not for this asynqd, or runs with another configuration (ASYNQ_E_CONFLICT). Waits for its start(). Thread: one at a
 * time, the main one until the loop turns, then that of the errands.
 */
plugin *plugin_load(const char *path, const char *config, asynq_error *error);
/*
 * Stops it when it has no other user, and waits for its stop(). Its code stays, as threads may still be in it. Accepts
 * NULL. Thread: as above.
 */
void plugin_stop(plugin *p);
/* Its routes. */
asynq_mux *plugin_mux(const plugin *p);
const char *plugin_name(const plugin *p);

/* Adds a pool of worker processes for each isolated plug-in of the routes. False: out of memory. */
bool plugin_add_pools(const route_list *routes, worker_list *workers, arena *memory);

/*
 * Loads one and looks whether it is for this asynqd; nothing is started. `library` may be set after a failure, too.
 * `*own` is valid until the end of `structs`, which the caller ends in any case.
 */
ASYNQ_MUST_CHECK int plugin_open(const char *path, void **library, structs_call *structs, const asynq_plugin **own,
                                 asynq_error *error);

/* ---- plugin_check.c: whether one can be loaded, found out in another process ---- */

/*
 * Returns 0, or why it is of no use. What it does when it is loaded happens to a process that is killed after 5 s: it
 * may crash, end, hang or say whatever it likes. Thread: any, which waits meanwhile.
 */
ASYNQ_MUST_CHECK int plugin_check_apart(const char *path, asynq_error *error);

/* That process: loads one, and tells on descriptor 3 why it is of no use. Returns the exit status of the program. */
#define PLUGIN_CHECK_FLAG "--check-plugin"
int plugin_check_run(const char *path);

/* asynqd's program, whatever has become of its file: after an upgrade there is another one at its place. */
#define PLUGIN_PROGRAM "/proc/self/exe"

/* ---- plugin_host.c: the worker process of an isolated plug-in ---- */

#define PLUGIN_HOST_FLAG "--run-plugin"

/* Runs tasks for asynqd until it is told to end. Returns the exit status of the program. */
int plugin_host_run(const char *path, const char *config);

#endif
