/* What asynqd answers over HTTP: health, metrics and the API. */
#ifndef DAEMON_ENDPOINTS_H
#define DAEMON_ENDPOINTS_H

#include "daemon/config.h"
#include "daemon/liveness.h"
#include "daemon/work.h"
#include "handler/resources.h"
#include "handler/route_lookup.h"
#include "metrics/metric.h"
#include "pg/database.h"

typedef struct endpoints endpoints;

typedef struct endpoints_options {
    loop *loop;
    log_sink *log;
    config *config; /* the first one */
    metrics *meters;
    const work *work;
    route_lookup *routes; /* of the current configuration */
    const liveness *liveness;
    const resources *resources;
    const logger *logger;
    database *database; /* NULL: there is no PostgreSQL */
} endpoints_options;

/* NULL with `error`; without one it is not wanted, or the default port is taken. */
endpoints *endpoints_start(const endpoints_options *options, asynq_error *error);
/* What can change without a restart has changed. The configuration is held. */
void endpoints_reconfigure(endpoints *e, config *c);
/* From now on /readyz says no. */
void endpoints_announce_stop(endpoints *e);
/* Accepts NULL. */
void endpoints_free(endpoints *e);

#endif
