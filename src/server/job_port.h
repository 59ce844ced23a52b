/*
 * Where handlers hand their jobs back, from any thread, and where the loop takes them. Its lock is also that of all
 * that handlers and the loop share in a job. Counted, so that it may outlive the server.
 */
#ifndef SERVER_JOB_PORT_H
#define SERVER_JOB_PORT_H

#include "server/job.h"

#include <pthread.h>

struct job_port {
    _Atomic int refs;
    pthread_mutex_t lock;
    loop_waker *waker; /* NULL: closed */
    asynq_job *first, **end;
    asynq_job *flushing; /* linked by flush_next, each with a reference: see result_flush.h */
};

/* `waker` is called from any thread until the port is closed. NULL: out of memory. */
job_port *job_port_new(loop_waker *waker);
void job_port_ref(job_port *port);
void job_port_unref(job_port *port);
/* From now on jobs handed back are dropped. Thread: loop. */
void job_port_close(job_port *port);

/* Hands a job back with its outcome, and with it the handler's reference. Thread: any. */
void job_hand_back(asynq_job *job, int outcome);

/* The same without the way through the port, for a handler that ran on the loop. False: it was handed back before. */
bool job_claim(asynq_job *job, int outcome);

/* All jobs handed back since the last call, oldest first, linked by port_next, each with its reference. */
asynq_job *job_port_take(job_port *port);

#endif
