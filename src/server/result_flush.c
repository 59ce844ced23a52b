/* See result_flush.h. */
#include "server/result_flush.h"

#include "base/alloc.h"
#include "server/job_port.h"
#include "server/server.h"

/* ---- in the handler's thread ---- */

/* Under the lock. False: the server is gone. */
static bool flush_ask(asynq_job *job)
{
    job_port *port = job->port;
    if (job->flush->is_waiting)
        return true;
    job->flush->is_waiting = true;
    if (job->flush->is_in_flight)
        return true;
    if (!port->waker)
        return false;
    job_ref(job);
    job->flush_next = port->flushing;
    port->flushing = job;
    loop_waker_wake(port->waker);
    return true;
}

/* Under the lock. */
static int flush_keep(asynq_job *job)
{
    if (!job->flush)
        job->flush = mem_calloc(1, sizeof *job->flush);
    if (!job->flush)
        return ASYNQ_E_NO_MEMORY;
    buf copy;
    buf_init(&copy, 0);
    buf_append(&copy, job->result.data, job->result.length);
    if (buf_failed(&copy)) {
        buf_clear(&copy);
        return ASYNQ_E_NO_MEMORY;
    }
    buf_clear(&job->flush->result);
    job->flush->result = copy;
    return flush_ask(job) ? ASYNQ_OK : ASYNQ_E_STATE;
}

int asynq_job_flush_result(asynq_job *job)
{
    if (!job->result.length)
        return ASYNQ_E_INVALID;
    if (!job->queue || job->handed_back)
        return ASYNQ_E_STATE;
    pthread_mutex_lock(&job->port->lock);
    int status = flush_keep(job);
    pthread_mutex_unlock(&job->port->lock);
    return status;
}

/* ---- on the loop ---- */

static void flush_send(asynq_job *job);

/* Of one that was sent, or could not be; the reference goes on to the next one. */
static void flush_end(asynq_job *job)
{
    pthread_mutex_lock(&job->port->lock);
    job->flush->is_in_flight = false;
    bool is_waiting = job->flush->is_waiting;
    pthread_mutex_unlock(&job->port->lock);
    if (is_waiting)
        flush_send(job);
    else
        job_unref(job);
}

static void flush_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_job *job = arg;
    (void)reply; /* whether it was stored: the end of the attempt finds out about the lease */
    if (status)
        queue_complain(job->queue, "write a result", error);
    flush_end(job);
}

static void flush_send(asynq_job *job)
{
    served_queue *queue = job->queue;
    pthread_mutex_lock(&job->port->lock);
    buf result = job->flush->result;
    buf_init(&job->flush->result, 0);
    job->flush->is_waiting = false;
    job->flush->is_in_flight = true;
    pthread_mutex_unlock(&job->port->lock);
    bool is_current = job->state == JOB_RUNNING && broker_has_queue(queue->broker, &queue->keys);
    if (!is_current || broker_write_result(queue->broker, &queue->keys, job_id(job), job->tag,
                                           (bytes){result.data, result.length}, flush_replied, job))
        flush_end(job);
    buf_clear(&result);
}

void result_flush_turn(asynq_server *server)
{
    pthread_mutex_lock(&server->port->lock);
    asynq_job *list = server->port->flushing;
    server->port->flushing = NULL;
    pthread_mutex_unlock(&server->port->lock);
    for (asynq_job *job = list, *next; job; job = next) {
        next = job->flush_next;
        flush_send(job);
    }
}
