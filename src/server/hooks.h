/*
 * The program's functions that hear of failures and ends: those that are called on the loop (hooks.c), and those that
 * may block, which a thread of their own calls (reports.c).
 */
#ifndef SERVER_HOOKS_H
#define SERVER_HOOKS_H

#include "server/job.h"

struct asynq_server;
typedef struct reporter reporter;

/* Why an attempt failed. `error` is borrowed. Thread: loop. */
asynq_failure hook_failure(const asynq_job *job, int outcome, const char *error);

/* Each does what a server does without the function, if there is none. Thread: loop. */
void hook_error(struct asynq_server *server, const asynq_failure *failure);
bool hook_is_failure(struct asynq_server *server, const asynq_failure *failure);
/* Below 0: there is no function. */
int64_t hook_retry_delay_ms(struct asynq_server *server, const asynq_failure *failure);
void hook_end(struct asynq_server *server, const asynq_attempt *attempt);

/* ---- reports.c ---- */

/* For the functions that may block; what does not fit into the queue is counted and logged. Thread: loop. */
void report_failure(struct asynq_server *server, const asynq_failure *failure);
void report_attempt(struct asynq_server *server, const asynq_attempt *attempt);

/* The thread, if the options have such a function. Its end waits for reports until the server's time limit. */
int reports_start(struct asynq_server *server);
void reports_stop(struct asynq_server *server);

#endif
