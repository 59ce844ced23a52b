/*
 * Reading the configuration again, at HUP. Files may be slow, names of users are looked up, plug-ins are loaded in
 * processes that may hang and then in asynqd, and a schedule waits for Redis: so a thread does that.
 *
 *     reload_begin() --> the thread reads and checks it, starts its plug-ins and the schedule of its file, and makes a
 *     generation of it -->
 *     it is taken over, or the log says why not
 *
 * systemd is told of the beginning and, whatever came of it, of the end. Thread: that of the loop.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "daemon/endpoints.h"
#include "daemon/service.h"
#include "daemon/work.h"

typedef struct reload reload;

/* All of it is borrowed. */
typedef struct reload_options {
    errands *errands; /* whose thread does it */
    log_sink *log;
    logger *logger;
    const config_sources *sources;
    const config *first; /* what needs a restart is in it */
    work *work;
    route_lookup *routes;
    endpoints *endpoints; /* NULL: there are none */
    service *service;
} reload_options;

/* NULL: out of memory. */
reload *reload_new(const reload_options *options);
/* After the errands. Accepts NULL. */
void reload_free(reload *r);
/* While one is under way, what was asked for since counts once. */
void reload_begin(reload *r);
/* asynqd is stopping: nothing is taken over any more. Accepts NULL. */
void reload_end(reload *r);

#endif
