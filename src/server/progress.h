/* How far a handler says it is: progress.c. The heartbeat writes it into the workers' record. */
#ifndef SERVER_PROGRESS_H
#define SERVER_PROGRESS_H

#include "base/bytes.h"

#include <asynq/server.h>

enum { PROGRESS_MAX_TEXT = 200 /* bytes */ };

typedef struct job_progress {
    double fraction; /* 0 to 1; below 0: not said */
    char text[PROGRESS_MAX_TEXT + 1];
} job_progress;

/* As asynq_job_progress(), with a text that need not end with a NUL byte; data NULL: it stays as it was. Thread: any.
 */
void progress_say(asynq_job *job, double fraction, bytes text);

/* Whether something was said since progress_read(). Thread: any. */
bool progress_is_new(const asynq_job *job);
/* What was said last; it is no news any more. False: nothing was said. Thread: any. */
bool progress_read(asynq_job *job, job_progress *now);

#endif
