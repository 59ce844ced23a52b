/* Routes with a limit: limit.c. */
#ifndef SERVER_LIMIT_H
#define SERVER_LIMIT_H

#include "server/job.h"

struct asynq_server;
struct served_queue;

/* The job's route has a limit: it starts when a token is to be had. */
void limit_enter(asynq_job *job);
/* The job has ended; if it waits, it no longer does. */
void limit_leave(asynq_job *job);
/* Its handler has returned, or never began: a token goes back. Before the job's state changes. */
void limit_give_back(asynq_job *job);
/* In each turn: asks Redis for what is wanted. */
void limit_turn(struct asynq_server *server);
/* Tokens are still to be given back. */
bool limit_is_busy(const struct asynq_server *server);
void limit_stop(struct asynq_server *server);

#endif
