/* An attempt as a row of asynqd.executions, and as the line of a spool that becomes one. */
#ifndef PG_EXECUTION_H
#define PG_EXECUTION_H

#include "base/buf.h"

#include <stdint.h>

enum { EXECUTION_ID_SIZE = 37 };

/* An attempt, as a row; texts are borrowed, NULL or "" where there is nothing; times are Unix ms, 0: none. */
typedef struct execution {
    const char *id; /* a UUID */
    const char *task_id, *queue, *type;
    const char *job_id; /* digits, of the job that the task was made for */
    int64_t attempt;    /* from 1 on */
    int64_t queued_at_ms, finished_at_ms;
    int64_t started_at_ms; /* the same in both lines: it says in which month the row is */
    const char *outcome;   /* NULL: it runs */
    const char *error_class, *error;
    const char *output; /* of its program */
    int http_status;    /* 0: none */
    const char *trace_id;
} execution;

/* Appends it as JSON, with texts cut to what a line has room for; see buf_failed(). */
void execution_append(buf *line, const execution *row);

#endif
