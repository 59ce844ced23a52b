/*
 * Writing outcomes to Redis. One chunk per queue is under way; outcomes that come meanwhile make the next one, which
 * goes out beside it when it is full. An outcome is written again until Redis has acknowledged it or the lease has
 * ended: then the task belongs to whoever recovers it.
 */
#include "server/settle.h"

#include "base/clock.h"
#include "server/attempt.h"
#include "server/server.h"

#include <stdio.h>
#include <utlist.h>

size_t settle_backlog(const asynq_server *server)
{
    return server->job_count - server->running_count;
}

bool settle_is_idle(const served_queue *queue)
{
    return !queue->books.unsettled && !queue->books.settling;
}

/* The older half of what we hold is nearer to the tail of the active list, where the oldest stand. */
static bool is_nearer_tail(const asynq_job *job)
{
    const asynq_job *oldest = job->queue->books.by_age;
    if (job->settle_score)
        return true;
    return job->number - oldest->number < (job->queue->books.last_number - oldest->number) / 2;
}

static settle_item item_of(asynq_job *job)
{
    return (settle_item){
        .way = job->way,
        .id = job_id(job),
        .tag = job->tag,
        .exact_score = bytes_of(job->settle_score),
        .from_tail = is_nearer_tail(job),
        .lock = job->message.unique_key,
        .message = {job->settled_message.data, job->settled_message.length},
        .result = job->result_is_ours ? (bytes){job->result.data, job->result.length} : (bytes){0},
        .at_ms = job->settle_at_ms,
    };
}

/* After an error, only with its like. */
static bool settle_fits(const asynq_job *first, const asynq_job *job)
{
    return !first || (first->settle_alone == job->settle_alone && (!job->settle_alone || first->way == job->way));
}

/*
 * From this job on come more of one lease than there is room for. Tasks of a lease stand together in the active list:
 * in one chunk they leave it together, and the rest of a lease in another is searched task by task.
 */
static bool settle_would_split(const asynq_job *job, const asynq_job *before, size_t room)
{
    if (room > BROKER_CHUNK_TASKS / 2 || job->tag == before->tag)
        return false;
    uint32_t tag = job->tag;
    for (; job && job->tag == tag && room; job = job->next)
        room--;
    return job && job->tag == tag;
}

/* Takes the next chunk out of the unsettled list. */
static void settle_form_chunk(settle_call *call, settle_item items[BROKER_CHUNK_TASKS])
{
    served_queue *queue = call->queue;
    int64_t now_ms = loop_steady_ms(queue->server->loop);
    size_t size = 0;
    asynq_job *job, *next, *last = NULL;
    DL_FOREACH_SAFE(queue->books.unsettled, job, next) {
        if (call->count == BROKER_CHUNK_TASKS || (size && size > BROKER_CHUNK_BYTES) ||
            (last && settle_would_split(job, last, BROKER_CHUNK_TASKS - call->count)))
            break;
        if (job->lease_ends_at_ms < now_ms) {
            attempt_lease_lost(job, "its lease ended before the outcome could be written");
            continue;
        }
        if (job->settle_again_at_ms > now_ms || !settle_fits(call->count ? call->first : NULL, job))
            continue;
        job_move(job, JOB_SETTLING);
        call->first = call->count ? call->first : job;
        items[call->count++] = item_of(job);
        last = job;
        size += job->settled_message.length + (job->result_is_ours ? job->result.length : 0);
    }
}

/* Back to the head of the unsettled list, in the same order. */
static void settle_put_back(settle_call *call)
{
    asynq_job *job = call->first;
    for (size_t i = 1; i < call->count; i++)
        job = job->next;
    for (asynq_job *before; call->count; job = before, call->count--) {
        before = job->prev; /* utlist: that of the head is the tail, and is not looked at */
        job_move(job, JOB_UNSETTLED);
    }
}

/* The jobs of a call are tried again after a pause that grows with each error. */
static void settle_postpone(settle_call *call)
{
    asynq_server *server = call->queue->server;
    asynq_job *first = call->first, *job = first;
    int64_t pause_ms = error_pause_next_ms(server, &first->settle_pause);
    for (size_t i = 0; i < call->count; i++, job = job->next) {
        job->settle_pause = first->settle_pause;
        job->settle_again_at_ms = loop_steady_ms(server->loop) + pause_ms;
    }
}

static void settle_acknowledged(asynq_job *job, int result)
{
    asynq_server *server = job->queue->server;
    bool is_expected = job->settle_unknown || job->settle_score; /* done before, or another server was faster */
    if (result == SETTLE_FENCED && !is_expected)
        log_event(&server->log, LOG_OUTCOME_DROPPED, "task %s (%s) of queue \"%s\": another server holds it now",
                  job->id, job->type, job->queue->name);
    else if (result == SETTLE_NOT_FOUND && !is_expected)
        log_event(&server->log, LOG_OUTCOME_DROPPED, "task %s (%s) of queue \"%s\" was not active any more", job->id,
                  job->type, job->queue->name);
    attempt_forget(job);
}

static void settle_refused(settle_call *call, const asynq_error *error)
{
    served_queue *queue = call->queue;
    asynq_job *first = call->first, *job = first;
    log_event_repeated(&queue->server->log, &queue->complaint, LOG_OUTCOME_NOT_WRITTEN,
                       "queue \"%s\": of %zu tasks, first task %s: %s", queue->name, call->count, first->id,
                       error->text);
    /* The first time each kind goes separately at once, so that one bad key does not hold up the others. */
    if (first->settle_alone)
        settle_postpone(call);
    for (size_t i = 0; i < call->count; i++, job = job->next)
        job->settle_alone = true;
}

static void settle_failed(settle_call *call, int status, const asynq_error *error)
{
    served_queue *queue = call->queue;
    asynq_job *job = call->first;
    bool may_have_run = redis_error_is_unsure(status);
    for (size_t i = 0; i < call->count; i++, job = job->next)
        job->settle_unknown |= may_have_run;
    if (!redis_error_is_passing(status))
        settle_refused(call, error);
    else if (broker_has_queue(queue->broker,
                              &queue->keys)) /* Redis cannot do it now; else the next connection does it */
        settle_postpone(call);
    settle_put_back(call);
}

static void settle_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    settle_call *call = arg;
    asynq_error odd;
    if (!status && (status = broker_check_results(reply, call->count, &odd)))
        error = &odd;
    if (status) {
        settle_failed(call, status, error);
        return;
    }
    asynq_job *job = call->first;
    for (size_t i = 0; i < call->count; i++) {
        asynq_job *next = job->next;
        settle_acknowledged(job, broker_result_at(reply, i));
        job = next;
    }
    call->count = 0;
}

/* When the first of those that wait after an error is to be tried again. */
static void settle_wait(served_queue *queue)
{
    int64_t now_ms = loop_steady_ms(queue->server->loop), again_at_ms = INT64_MAX;
    asynq_job *job;
    DL_FOREACH(queue->books.unsettled, job)
        if (job->settle_again_at_ms < again_at_ms)
            again_at_ms = job->settle_again_at_ms;
    if (queue->books.unsettled)
        loop_timer_set(&queue->settle.again, again_at_ms - now_ms);
}

static void settle_send(settle_call *call)
{
    served_queue *queue = call->queue;
    settle_item items[BROKER_CHUNK_TASKS];
    settle_form_chunk(call, items);
    if (!call->count) {
        settle_wait(queue);
        return;
    }
    int64_t now_ns = loop_now_ns(queue->server->loop);
    if (broker_settle(queue->broker, &queue->keys, items, call->count, now_ns, settle_replied, call)) {
        settle_postpone(call);
        settle_put_back(call);
    }
}

/* What was refused goes one chunk at a time. */
static bool settle_may_send(const served_queue *queue)
{
    const job_books *books = &queue->books;
    const asynq_job *next = books->unsettled;
    if (!next || !broker_has_queue(queue->broker, &queue->keys))
        return false;
    return !books->settling || (books->unsettled_count >= BROKER_CHUNK_TASKS && !next->settle_again_at_ms);
}

static void settle_pump(served_queue *queue)
{
    for (size_t i = 0; i < SETTLE_CALLS; i++)
        if (!queue->settle.calls[i].count && settle_may_send(queue))
            settle_send(&queue->settle.calls[i]);
}

void settle_turn(asynq_server *server)
{
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_UNSETTLED, queue, next)
    settle_pump(queue);
}

static void settle_again_fired(void *arg)
{
    (void)arg; /* the turn settles */
}

int settle_queue_start(served_queue *queue)
{
    loop_timer_init(queue->server->loop, &queue->settle.again, settle_again_fired, NULL);
    for (size_t i = 0; i < SETTLE_CALLS; i++)
        queue->settle.calls[i].queue = queue;
    return ASYNQ_OK;
}

void settle_queue_stop(served_queue *queue)
{
    loop_timer_cancel(&queue->settle.again);
}
