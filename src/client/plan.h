/*
 * From a task and its options to what goes into Redis: merging, validation, defaults (spec 6.3, 6.4). No I/O.
 */
#ifndef CLIENT_PLAN_H
#define CLIENT_PLAN_H

#include "broker/broker.h"

#include <asynq/client.h>

/* A task ready to be sent; owns its bytes. It points into itself: do not copy or move it. */
typedef struct task_plan {
    bytes queue;
    enqueue_item item;
    asynq_enqueued enqueued; /* as it is reported if Redis agrees */
    buf storage;
} task_plan;

/* Returns 0, ASYNQ_E_INVALID with the text of what is wrong, or ASYNQ_E_NO_MEMORY. Then nothing is to be cleared. */
ASYNQ_MUST_CHECK int task_plan_make(task_plan *plan, const key_space *space, const asynq_task *task,
                                    const asynq_task_options *overrides, int64_t now_ns, asynq_error *error);
void task_plan_clear(task_plan *plan);

#endif
