/*
 * Writing outcomes to Redis. One chunk per queue is under way; outcomes that come meanwhile make the next one. An
 * outcome is written again until Redis has acknowledged it or the lease has ended: then the task belongs to whoever
 * recovers it.
 */
#include "server/server.h"

#include "base/clock.h"

#include <stdio.h>
#include <utlist.h>

enum { SETTLE_ERROR_PAUSE_MS = 1000 };

void settle_add(asynq_job *job)
{
    job->state = JOB_UNSETTLED;
    job->settle_again_at_ms = 0;
    DL_APPEND(job->queue->unsettled, job);
}

size_t settle_backlog(const asynq_server *server)
{
    size_t jobs = 0;
    for (size_t i = 0; i < server->queue_count; i++)
        jobs += HASH_COUNT(server->queues[i]->jobs);
    return jobs - server->running_count;
}

bool settle_is_idle(const served_queue *queue)
{
    return !queue->unsettled && !queue->settling_count;
}

/* The older half of what we hold is nearer to the tail of the active list, where the oldest stand. */
static bool is_nearer_tail(const asynq_job *job)
{
    const asynq_job *oldest = job->queue->by_age;
    if (job->settle_score[0])
        return true;
    return job->number - oldest->number < (job->queue->last_number - oldest->number) / 2;
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

/* Takes the next chunk out of the unsettled list. */
static void settle_form_chunk(served_queue *queue)
{
    int64_t now_ms = loop_steady_ms(queue->server->loop);
    size_t size = 0;
    asynq_job *job, *next;
    DL_FOREACH_SAFE(queue->unsettled, job, next) {
        if (queue->settling_count == BROKER_CHUNK_TASKS || (size && size > BROKER_CHUNK_BYTES))
            break;
        if (job->lease_ends_at_ms < now_ms) {
            attempt_lease_lost(job, "its lease ended before the outcome could be written");
            continue;
        }
        bool fits_alone = !queue->settling_count || (queue->settling[0]->settle_alone == job->settle_alone &&
                                                     (!job->settle_alone || queue->settling[0]->way == job->way));
        if (job->settle_again_at_ms > now_ms || !fits_alone)
            continue;
        DL_DELETE(queue->unsettled, job);
        job->state = JOB_SETTLING;
        queue->settling[queue->settling_count++] = job;
        size += job->settled_message.length + (job->result_is_ours ? job->result.length : 0);
    }
}

/* Back to the head of the unsettled list, in the same order. */
static void settle_put_back(served_queue *queue)
{
    while (queue->settling_count) {
        asynq_job *job = queue->settling[--queue->settling_count];
        job->state = JOB_UNSETTLED;
        DL_PREPEND(queue->unsettled, job);
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

static void settle_failed(served_queue *queue, int status, const asynq_error *error)
{
    asynq_server *server = queue->server;
    bool is_unknown = status == ASYNQ_E_OUTCOME_UNKNOWN;
    bool is_refused = status != ASYNQ_E_UNAVAILABLE && !is_unknown;
    unsigned skipped;
    if (is_refused && log_limit_pass(&queue->complaint, &skipped))
        log_error(&server->log, "queue \"%s\": outcomes of %zu tasks cannot be written, first task %s: %s", queue->name,
                  queue->settling_count, queue->settling[0]->id, error->text);
    for (size_t i = 0; i < queue->settling_count; i++) {
        asynq_job *job = queue->settling[i];
        job->settle_unknown |= is_unknown;
        if (!is_refused)
            continue;
        /* The first time each kind goes separately at once, so that one bad key does not hold up the others. */
        job->settle_again_at_ms = job->settle_alone ? loop_steady_ms(server->loop) + SETTLE_ERROR_PAUSE_MS : 0;
        job->settle_alone = true;
    }
    settle_put_back(queue);
    loop_timer_set(&queue->settle_again, SETTLE_ERROR_PAUSE_MS);
}

static void settle_replied(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    served_queue *queue = arg;
    asynq_error odd;
    if (!status && broker_check_results(reply, queue->settling_count, &odd)) {
        for (size_t i = 0; i < queue->settling_count; i++)
            queue->settling[i]->settle_unknown = true;
        settle_failed(queue, odd.code, &odd);
        return;
    }
    if (status) {
        settle_failed(queue, status, error);
        return;
    }
    size_t count = queue->settling_count;
    queue->settling_count = 0;
    for (size_t i = 0; i < count; i++)
        settle_acknowledged(queue->settling[i], broker_result_at(reply, i));
}

void settle_pump(served_queue *queue)
{
    asynq_server *server = queue->server;
    if (queue->settling_count || !queue->unsettled || !redis_conn_is_ready(server->work))
        return;
    settle_form_chunk(queue);
    if (!queue->settling_count)
        return;
    settle_item items[BROKER_CHUNK_TASKS];
    for (size_t i = 0; i < queue->settling_count; i++)
        items[i] = item_of(queue->settling[i]);
    int64_t now_ns = loop_now_ns(server->loop);
    if (broker_settle(server->work, &queue->keys, items, queue->settling_count, now_ns, settle_replied, queue)) {
        settle_put_back(queue);
        loop_timer_set(&queue->settle_again, SETTLE_ERROR_PAUSE_MS);
    }
}
