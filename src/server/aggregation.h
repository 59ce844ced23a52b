/*
 * One aggregation: a set of a group's tasks on its way to becoming one task.
 *
 *   groups.c: TAKING --> READING --> the aggregator's thread --> FINISHING --> the new task stands for the others
 *
 * A step whose answer was lost is done again when Redis is back: reading tells whether the set was formed, and
 * finishing is done once however often it is tried. What is given up goes back into the group when the time of the set
 * is over.
 *
 * The loop owns it, but while the aggregator works on it, which is a thread of its own: user code may block.
 */
#ifndef SERVER_AGGREGATION_H
#define SERVER_AGGREGATION_H

#include "broker/group.h"
#include "client/plan.h"
#include "event/waker.h"

#include <asynq/server.h>

struct served_queue;

typedef enum aggregation_step { AGGREGATION_TAKING, AGGREGATION_READING, AGGREGATION_FINISHING } aggregation_step;

struct asynq_aggregation {
    struct asynq_aggregation *next;
    struct served_queue *queue; /* the loop's */
    arena memory;               /* of what follows up to the tasks */
    const char *queue_name, *group;
    buf set; /* its full name */
    asynq_task *tasks;
    size_t count, capacity;
    aggregation_step step;
    int64_t size, read;   /* ids in the set, and how many of them were read */
    int64_t ends_at_ms;   /* steady clock: then others take the set back */
    bool may_be_finished; /* the answer was lost */

    /* What the aggregator made of it. */
    int outcome;
    bool has_task;
    task_plan plan;
};

/* NULL: out of memory. */
asynq_aggregation *aggregation_new(struct served_queue *queue, const char *group);
void aggregation_free(asynq_aggregation *aggregation);

/* The set has been formed: reads its tasks, has them aggregated, and finishes. Frees in the end. */
void aggregation_begin(asynq_aggregation *aggregation);
/* A step was not done: goes on with it when Redis takes commands again, or gives up if that is too late, for this
 * reason. */
void aggregation_lost(asynq_aggregation *aggregation, const char *why);

/* The thread that runs the aggregator. It may outlive the server when the aggregator does not return. */
typedef struct aggregator aggregator;

aggregator *aggregator_new(const asynq_server_options *options, loop_waker *returned);
/* Ends the thread when it comes back from what it does; what waits is dropped. */
void aggregator_close(aggregator *a);
void aggregator_run(aggregator *a, asynq_aggregation *aggregation);
/* What has come back, oldest first. */
asynq_aggregation *aggregator_take(aggregator *a);

#endif
