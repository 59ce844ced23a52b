/* A task as it stands in a request to POST /v1/tasks. Thread: any, one at a time. */
#ifndef DAEMON_API_TASK_H
#define DAEMON_API_TASK_H

#include "base/bytes.h"

#include <asynq/client.h>
#include <jansson.h>

enum { API_MAX_TASKS = 1000, API_MAX_HEADERS = 100 };

typedef struct api_task {
    asynq_task task; /* its texts point into the request */
    asynq_header headers[API_MAX_HEADERS];
    bytes written; /* the payload in the request; data NULL: there is none */
    unsigned char *bytes;
} api_task;

/* Reads it; `written` is there. False with `error`: ASYNQ_E_INVALID or ASYNQ_E_NO_MEMORY. */
bool api_task_read(api_task *own, json_t *object, asynq_error *error);
void api_task_clear(api_task *own);

#endif
