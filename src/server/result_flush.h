/*
 * Results that handlers store while their tasks run: asynq_job_flush_result(). The newest one of a job goes to Redis,
 * one at a time; what Redis does not take is dropped, as the end of the attempt brings the result once more.
 */
#ifndef SERVER_RESULT_FLUSH_H
#define SERVER_RESULT_FLUSH_H

#include "server/job.h"

struct asynq_server;

/* Of one job; under its port's lock. */
typedef struct job_flush {
    buf result;        /* what is to be sent next */
    bool is_waiting;   /* in the port's list, or to be sent after the one that is in flight */
    bool is_in_flight; /* the loop's */
} job_flush;

/* Sends what handlers asked for since the last call. Thread: loop. */
void result_flush_turn(struct asynq_server *server);

#endif
