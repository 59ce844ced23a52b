/*
 * What a configuration that is read again replaces: routes, their handlers, the server that takes tasks for them, and
 * the schedule file. A new generation takes over at once; the old one takes no more tasks, and ends when those that it
 * has have ended.
 *
 *   started --generation_retire()--> takes no tasks --the last task ends--> its parts end --> ended()
 *
 * Thread: that of the loop, the main one.
 */
#ifndef DAEMON_GENERATION_H
#define DAEMON_GENERATION_H

#include "daemon/config.h"
#include "daemon/logger.h"
#include "metrics/metric.h"
#include "pg/history.h"

typedef struct generation generation;

/* What outlives generations. */
typedef struct generation_options {
    loop *loop;
    log_sink *log;
    logger *logger;
    metrics *meters;
    history *history;      /* NULL: none */
    const char *directory; /* for files of calls */
    struct http_client *http;
    struct resources *resources;
    void (*ended)(generation *g, void *arg); /* it can be freed, not earlier than in the next turn */
    void *arg;
} generation_options;

/*
 * Starts one with a configuration, which it holds. Behind a `previous` one it takes no tasks before its server's
 * concurrency is set, and worker pools that are the same are taken over. NULL: see `error`.
 */
generation *generation_start(const generation_options *options, config *c, generation *previous, asynq_error *error);

/* It takes no more tasks. With `is_hurried` its tasks have `shutdown_timeout`, otherwise as long as they need. */
void generation_retire(generation *g, bool is_hurried);

/* It must have ended; or the loop runs no more, then its parts are ended here. Accepts NULL. */
void generation_free(generation *g);

const config *generation_config(const generation *g);
const handler_host *generation_host(const generation *g); /* NULL: it has ended */
asynq_server *generation_server(const generation *g);     /* NULL: there are no routes */
/* False: the number of its tasks will not grow any more. */
bool generation_takes_tasks(const generation *g);

#endif
