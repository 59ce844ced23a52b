/* What becomes of a task (spec 8.4): outcome.c; and when it is tried again: retry.c. */
#ifndef SERVER_OUTCOME_H
#define SERVER_OUTCOME_H

#include "server/job.h"

struct asynq_server;
struct served_queue;

/* Decides and queues for settling. `error` is empty for success. */
void outcome_decide(asynq_job *job, int outcome, const char *error);
/* The same for a job that has not begun: it is tried again after the pause, to the millisecond. */
void outcome_postpone(asynq_job *job, int64_t pause_ms, const char *reason);
void outcome_archive_malformed(struct served_queue *queue, bytes id, bytes found, const char *reason, lease_score lease,
                               bytes exact_score);

/* Between this attempt and the next. */
int64_t retry_pause_ms(asynq_job *job, const asynq_failure *failure);

#endif
