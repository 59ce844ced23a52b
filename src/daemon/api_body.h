/*
 * The body of a request to POST /v1/tasks. To read it takes up to a second, and to free it some of that. Thread: any,
 * one at a time.
 */
#ifndef DAEMON_API_BODY_H
#define DAEMON_API_BODY_H

#include "daemon/api_task.h"

typedef struct api_body {
    json_t *document;
    json_t *list;                 /* of tasks, in the document; NULL: it is one task */
    size_t count;                 /* of tasks */
    bytes written[API_MAX_TASKS]; /* by task: its payload as it stands in the body; data NULL: it has none */
} api_body;

/*
 * Reads it; texts point into the document, payloads into `text`. Returns an HTTP status with `error`; 0: it is read.
 * What it says of the tasks is not looked at.
 */
ASYNQ_MUST_CHECK int api_body_read(api_body *body, bytes text, asynq_error *error);
void api_body_clear(api_body *body);
/* The i-th task. */
json_t *api_body_task(const api_body *body, size_t i);

#endif
