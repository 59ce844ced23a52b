/*
 * Writing outcomes to Redis. One chunk per queue is under way; outcomes that come meanwhile make the next one. An
 * outcome is written again until Redis has acknowledged it or the lease has ended: then the task belongs to whoever
 * recovers it.
 */
#include "server/settle.h"

#include "base/clock.h"
#include "server/attempt.h"
#include "server/server.h"

#include <stdio.h>
#include <utlist.h>

size_t settle_backlog(const asynq_server *server)
{
    size_t jobs = 0;
    for (size_t i = 0; i < server->queue_count; i++)
        jobs += HASH_COUNT(server->queues[i]->books.jobs);
    return jobs - server->running_count;
}

bool settle_is_idle(const served_queue *queue)
{
    return !queue->books.unsettled && !queue->books.settling;
}

/* The older half of what we hold is nearer to the tail of the active list, where the oldest stand. */
static bool is_nearer_tail(const asynq_job *job)
{
    const asynq_job *oldest = job->queue->books.by_age;
    if (job->settle_score[0])
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
static bool settle_fits(const job_books *books, const asynq_job *job)
{
    const asynq_job *first = books->settling;
    return !first || (first->settle_alone == job->settle_alone && (!job->settle_alone || first->way == job->way));
}

/* Takes the next chunk out of the unsettled list. */
static void settle_form_chunk(served_queue *queue)
{
    job_books *books = &queue->books;
    int64_t now_ms = loop_steady_ms(queue->server->loop);
    size_t size = 0;
    asynq_job *job, *next;
    DL_FOREACH_SAFE(books->unsettled, job, next) {
        if (books->settling_count == BROKER_CHUNK_TASKS || (size && size > BROKER_CHUNK_BYTES))
            break;
        if (job->lease_ends_at_ms < now_ms) {
            attempt_lease_lost(job, "its lease ended before the outcome could be written");
            continue;
        }
        if (job->settle_again_at_ms > now_ms || !settle_fits(books, job))
            continue;
        job_move(job, JOB_SETTLING);
        size += job->settled_message.length + (job->result_is_ours ? job->result.length : 0);
    }
}

/* Back to the head of the unsettled list, in the same order. */
static void settle_put_back(served_queue *queue)
{
    while (queue->books.settling)
        job_move(queue->books.settling->prev, JOB_UNSETTLED); /* utlist: the head's prev is the tail */
}

/* The jobs under way are tried again after a pause that grows with each error. */
static void settle_put_off(served_queue *queue)
{
    asynq_server *server = queue->server;
    int64_t pause_ms = error_pause_next_ms(server, &queue->books.settling->settle_pause);
    asynq_job *job;
    DL_FOREACH(queue->books.settling, job) {
        job->settle_pause = queue->books.settling->settle_pause;
        job->settle_again_at_ms = loop_steady_ms(server->loop) + pause_ms;
    }
}

static void settle_acknowledged(asynq_job *job, int result)
{
    asynq_server *server = job->queue->server;
    bool is_expected = job->settle_unknown || job->settle_score[0]; /* done before, or another server was faster */
    if (result == SETTLE_FENCED && !is_expected)
        log_warn(&server->log, "task %s (%s) of queue \"%s\": another server holds it now; our outcome is dropped",
                 job->id, job->type, job->queue->name);
    else if (result == SETTLE_NOT_FOUND && !is_expected)
        log_warn(&server->log, "task %s (%s) of queue \"%s\" was not active any more; our outcome is dropped", job->id,
                 job->type, job->queue->name);
    attempt_forget(job);
}

static void settle_refused(served_queue *queue, const asynq_error *error)
{
    asynq_job *first = queue->books.settling, *job;
    log_repeated(&queue->server->log, &queue->complaint, ASYNQ_LOG_ERROR,
                 "queue \"%s\": outcomes of %zu tasks cannot be written, first task %s: %s", queue->name,
                 queue->books.settling_count, first->id, error->text);
    /* The first time each kind goes separately at once, so that one bad key does not hold up the others. */
    if (first->settle_alone)
        settle_put_off(queue);
    DL_FOREACH(first, job)
        job->settle_alone = true;
}

static void settle_failed(served_queue *queue, int status, const asynq_error *error)
{
    asynq_job *job;
    bool may_have_run = redis_error_is_unsure(status);
    DL_FOREACH(queue->books.settling, job)
        job->settle_unknown |= may_have_run;
    if (!redis_error_is_passing(status))
        settle_refused(queue, error);
    else if (broker_is_ready(queue->broker)) /* Redis cannot do it now; else the next connection does it */
        settle_put_off(queue);
    settle_put_back(queue);
}

static void settle_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    job_books *books = &queue->books;
    asynq_error odd;
    if (!status && (status = broker_check_results(reply, books->settling_count, &odd)))
        error = &odd;
    if (status) {
        settle_failed(queue, status, error);
        return;
    }
    for (size_t i = 0; books->settling; i++)
        settle_acknowledged(books->settling, broker_result_at(reply, i));
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
        loop_timer_set(&queue->settle_again, again_at_ms - now_ms);
}

static void settle_pump(served_queue *queue)
{
    asynq_server *server = queue->server;
    job_books *books = &queue->books;
    if (books->settling || !books->unsettled || !broker_is_ready(&server->broker))
        return;
    settle_form_chunk(queue);
    if (!books->settling) {
        settle_wait(queue);
        return;
    }
    settle_item items[BROKER_CHUNK_TASKS];
    size_t count = 0;
    asynq_job *job;
    DL_FOREACH(books->settling, job)
        items[count++] = item_of(job);
    if (broker_settle(queue->broker, &queue->keys, items, count, loop_now_ns(server->loop), settle_replied, queue)) {
        settle_put_off(queue);
        settle_put_back(queue);
    }
}

void settle_turn(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        settle_pump(server->queues[i]);
}

static void settle_again_fired(void *arg)
{
    (void)arg; /* the turn settles */
}

int settle_start(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++)
        loop_timer_init(server->loop, &server->queues[i]->settle_again, settle_again_fired, NULL);
    return ASYNQ_OK;
}
