/*
 * What may be posted, what tasks get that say nothing of it, and whether anybody is there to run them. Thread: that of
 * the loop, except where "any" is said.
 */
#ifndef DAEMON_API_POLICY_H
#define DAEMON_API_POLICY_H

#include "base/name_set.h"
#include "daemon/observer.h"
#include "daemon/work.h"
#include "handler/route_lookup.h"

#include <asynq/client.h>

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

/*
 * Gives the task the defaults of its route; `has_route`: there is one. False with `error`: endpoints.queues or .types
 * of the configuration forbid it. Thread: any.
 */
bool api_policy_allows(const api_policy *p, const config *c, asynq_task *task, bool *has_route, asynq_error *error);
/*
 * A task is to go to this queue; api_policy_arrive() follows, with the same `place`. False with `error`: it is one
 * more than endpoints.max_queues, or out of memory.
 */
bool api_policy_send(api_policy *p, const char *queue, name_entry **place, asynq_error *error);
/* What became of it: a queue to which none has got counts no more. */
void api_policy_arrive(api_policy *p, name_entry *place, bool is_there);

/* Who wants to know which servers there are. Embedded in its owner, which stays until `cb`. */
typedef struct api_policy_wait {
    void (*cb)(struct api_policy_wait *wait);
    struct api_policy_wait *prev, *next;
} api_policy_wait;

/* Whether it has to be asked in Redis who runs the tasks of this queue. */
bool api_policy_must_ask(api_policy *p, const char *queue);
/* Calls back when the answer is there, or cannot be had. */
void api_policy_ask(api_policy *p, api_policy_wait *wait);
/* What is to be said of a task that is in its queue. */
typedef enum api_doubt { API_NO_DOUBT, API_NO_ROUTE, API_NO_SERVER } api_doubt;
api_doubt api_policy_doubt(api_policy *p, const char *queue, bool has_route);

#endif
