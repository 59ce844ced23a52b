/*
 * What may be posted, what tasks get that say nothing of it, and whether anybody is there to run them. Thread: that of
 * the loop.
 */
#ifndef DAEMON_API_POLICY_H
#define DAEMON_API_POLICY_H

#include "daemon/observer.h"
#include "daemon/work.h"
#include "handler/route_lookup.h"

#include <asynq/client.h>
#include <jansson.h>

typedef struct api_policy api_policy;

/* All are borrowed, and outlive it but for the observer, which must be gone before it is freed. */
typedef struct api_policy_options {
    observer *observer;
    const work *work;
    route_lookup *routes;
} api_policy_options;

/* NULL: out of memory. */
api_policy *api_policy_new(const api_policy_options *options);
/* Accepts NULL. */
void api_policy_free(api_policy *p);

/* Gives the task the defaults of its route. False with `error`: endpoints.queues, .types or .max_queues forbid it. */
bool api_policy_admit(api_policy *p, asynq_task *task, asynq_error *error);

/* Who wants to know which servers there are. Embedded in its owner, which stays until `cb`. */
typedef struct api_policy_wait {
    void (*cb)(struct api_policy_wait *wait);
    struct api_policy_wait *prev, *next;
} api_policy_wait;

/* Whether it has to be asked in Redis who runs the tasks of this queue. */
bool api_policy_must_ask(const api_policy *p, const char *queue);
/* Calls back when the answer is there, or cannot be had. */
void api_policy_ask(api_policy *p, api_policy_wait *wait);
/* What is to be said of a task that is in its queue; NULL: nothing. A new list. */
json_t *api_policy_warnings(const api_policy *p, const char *queue, const char *type);

#endif
