/* See job_port.h. */
#include "server/job_port.h"

#include "base/alloc.h"

job_port *job_port_new(loop_waker *waker)
{
    job_port *port = mem_calloc(1, sizeof *port);
    if (!port)
        return NULL;
    pthread_mutex_init(&port->lock, NULL);
    port->refs = 1;
    port->waker = waker;
    port->end = &port->first;
    return port;
}

void job_port_ref(job_port *port)
{
    port->refs++;
}

void job_port_unref(job_port *port)
{
    if (!port || --port->refs)
        return;
    pthread_mutex_destroy(&port->lock);
    mem_free(port);
}

asynq_job *job_port_take(job_port *port)
{
    pthread_mutex_lock(&port->lock);
    asynq_job *list = port->first;
    port->first = NULL;
    port->end = &port->first;
    pthread_mutex_unlock(&port->lock);
    return list;
}

void job_port_close(job_port *port)
{
    pthread_mutex_lock(&port->lock);
    port->waker = NULL;
    pthread_mutex_unlock(&port->lock);
    for (asynq_job *job = job_port_take(port); job;) {
        asynq_job *next = job->port_next;
        job_unref(job);
        job = next;
    }
    for (asynq_job *job = port->flushing, *next; job; job = next) { /* no other can come */
        next = job->flush_next;
        job_unref(job);
    }
    port->flushing = NULL;
}

bool job_claim(asynq_job *job, int outcome)
{
    if (atomic_exchange(&job->handed_back, true))
        return false; /* a second completion */
    job->outcome = outcome;
    return true;
}

void job_hand_back(asynq_job *job, int outcome)
{
    job_port *port = job->port;
    if (job->on_cancel)
        asynq_job_on_cancel(job, NULL, NULL);
    if (!job_claim(job, outcome))
        return;
    job->port_next = NULL;
    pthread_mutex_lock(&port->lock);
    bool is_open = port->waker != NULL;
    if (is_open) {
        bool was_empty = !port->first;
        *port->end = job;
        port->end = &job->port_next;
        if (was_empty) /* under the lock: the waker lives until the port is closed */
            loop_waker_wake(port->waker);
    }
    pthread_mutex_unlock(&port->lock);
    if (!is_open)
        job_unref(job);
}

void asynq_complete(asynq_job *job, int outcome)
{
    job_hand_back(job, outcome);
}
