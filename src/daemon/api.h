/* POST /v1/tasks: enqueueing for services without an Asynq client. docs/openapi.yaml describes it. */
#ifndef DAEMON_API_H
#define DAEMON_API_H

#include "daemon/observer.h"
#include "daemon/work.h"
#include "handler/route_lookup.h"
#include "metrics/endpoint.h"
#include "metrics/metric.h"

typedef struct api api;

typedef struct api_options {
    loop *loop;
    const config *config; /* the first one */
    metrics *meters;
    observer *observer;
    const work *work;
    route_lookup *routes;
} api_options;

/* NULL with `error`. */
api *api_new(const api_options *options, asynq_error *error);
/* Waits for what is being enqueued; answers are dropped. The observer must be gone. Accepts NULL. */
void api_free(api *a);

/* Answers the request when all its tasks have their outcome. */
void api_post_tasks(api *a, endpoint_request *request);

#endif
