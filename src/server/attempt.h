/* The life of a job in this server, from lease to outcome: attempt.c. */
#ifndef SERVER_ATTEMPT_H
#define SERVER_ATTEMPT_H

#include "server/job.h"

struct asynq_server;
struct served_queue;

bool held_lease_has_ended(const held_lease *lease);
/* Runs a task that was leased. One whose lease has ended meanwhile goes back, if it is still ours: no failure. */
void attempt_begin(struct served_queue *queue, leased_task task, const held_lease *lease);
/* Ends a running job whose handler has not returned, with a text. Its handler may run on. */
void attempt_give_up(asynq_job *job, asynq_cancel_reason reason, const char *text);
/* The lease is lost: nothing may be written any more. */
void attempt_lease_lost(asynq_job *job, const char *reason);
/* It was not renewed in time, but nobody may have taken the task yet: what has not begun goes back, if the fence lets
 * it, and has not failed. */
void attempt_lease_ended(asynq_job *job, const char *reason);
/* Gives a job back unfinished: at shutdown, or when no thread can be had. */
void attempt_requeue(asynq_job *job);
/* Takes a job whose outcome is decided out of our books. */
void attempt_forget(asynq_job *job);
/* What has become of it is decided; on_end hears of it once. */
void attempt_tell_end(asynq_job *job, asynq_attempt_end end, const char *error, int64_t next_at_ms);

/* Runs a job that nothing holds up any more. */
void attempt_start(asynq_job *job);

/* The worker threads, and the way back from them. */
int jobs_start(struct asynq_server *server);
void jobs_stop(struct asynq_server *server);

#endif
