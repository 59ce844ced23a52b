/*
 * What a configuration that is read again replaces: routes, their handlers, the server that takes tasks for them, and
 * the schedule file. A new generation takes over at once; the old one takes no more tasks, and ends when those that it
 * has have ended.
 *
 *   prepared --> started --generation_retire()--> takes no tasks --the last task ends--> its parts end --> ended()
 *
 * Thread: that of the loop, the main one.
 */
#ifndef DAEMON_GENERATION_H
#define DAEMON_GENERATION_H

#include "daemon/config.h"
#include "daemon/file_schedule.h"
#include "daemon/logger.h"
#include "metrics/metric.h"
#include "pg/history.h"
#include "process/plugin_set.h"

typedef struct generation generation;

/* What outlives generations. */
typedef struct generation_options {
    loop *loop;
    log_sink *log;
    logger *logger;
    metrics *meters;
    history *history; /* NULL: none */
    struct call_files *files;
    struct http_client *http;
    struct resources *resources;
    errands *errands;                        /* what may take long; NULL: the loop's thread does it */
    void (*ended)(generation *g, void *arg); /* it can be freed, not earlier than in the next turn */
    void *arg;
} generation_options;

/* What one is made of. */
typedef struct generation_source {
    config *config;
    file_schedule *schedule; /* started; NULL: the configuration has none */
    plugin_set *plugins;     /* of its routes; NULL: they need none */
} generation_source;

/*
 * Makes one of a configuration, which it holds, and a schedule and plug-ins, which it takes over in any case: all of it
 * that needs no loop, as with a thousand queues that takes a while. NULL with `error`. Thread: any.
 */
generation *generation_prepare(const generation_options *options, const generation_source *from, asynq_error *error);
/*
 * Starts it. Behind a `previous` one it takes no tasks before its server's concurrency is set, and worker pools that
 * are the same are taken over. After a failure it has to be retired like any other, or freed where the loop does not
 * run; if nothing of it has started it is freed, and `*g` is NULL.
 */
ASYNQ_MUST_CHECK int generation_start(generation **g, generation *previous, asynq_error *error);

/* It takes no more tasks. With `is_hurried` its tasks have `shutdown_timeout`, otherwise as long as they need. */
void generation_retire(generation *g, bool is_hurried);

/*
 * It must have ended, or never been started (then the thread may be any); or the loop runs no more, and its parts are
 * ended here. Accepts NULL.
 */
void generation_free(generation *g);

config *generation_config(const generation *g);
const handler_host *generation_host(const generation *g); /* NULL: it has ended */
asynq_server *generation_server(const generation *g);     /* NULL: there are no routes */
/* False: the number of its tasks will not grow any more. */
bool generation_takes_tasks(const generation *g);

#endif
