/* POST /v1/tasks: enqueueing for services without an Asynq client. contrib/openapi.yaml describes it. */
#ifndef DAEMON_API_H
#define DAEMON_API_H

#include "metrics/endpoint.h"
#include "metrics/metric.h"

typedef struct api api;

/* NULL with `error`. */
api *api_new(loop *l, const char *redis, metrics *meters, asynq_error *error);
/* Waits for what is being enqueued; answers are dropped. Accepts NULL. */
void api_free(api *a);

/* Answers the request when all its tasks have their outcome. */
void api_post_tasks(api *a, endpoint_request *request);

#endif
