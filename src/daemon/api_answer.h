/* What an answer to POST /v1/tasks says of a task. Thread: any. */
#ifndef DAEMON_API_ANSWER_H
#define DAEMON_API_ANSWER_H

#include "daemon/api_policy.h"

#include <asynq/client.h>
#include <jansson.h>

/* HTTP's status, and our name, for what came of a task, by the code of its error. */
typedef struct api_status {
    int code, status;
    const char *name;
} api_status;
const api_status *api_status_of(int code);
/* It is in its queue, also if it was there before. */
bool api_status_is_good(const api_status *row);

/* All of it is borrowed. */
typedef struct api_answer {
    const asynq_task *task;
    const char *queue;
    const asynq_enqueued *result;
    api_doubt doubt;
} api_answer;
/* NULL: out of memory. */
json_t *api_answer_describe(const api_answer *answer);

#endif
