/* What becomes of a task after an attempt (spec 8.4), and the message that is written then. */
#include "server/outcome.h"

#include "base/clock.h"
#include "base/saturate.h"
#include "server/attempt.h"
#include "server/hooks.h"
#include "server/server.h"

#include <stdio.h>
#include <utlist.h>

/* When a pause that begins now is over, Unix ms. */
static int64_t after_pause(int64_t pause_ms, int64_t now_ns)
{
    return saturating_add(ceil_div(now_ns, NS_PER_MS), pause_ms);
}

static int64_t retry_at_ms(asynq_job *job, const asynq_failure *failure, int64_t now_ns)
{
    return after_pause(retry_pause_ms(job, failure), now_ns);
}

/* Encodes the message as it is after this attempt. False: it cannot be (out of memory). */
static bool write_message(asynq_job *job, const task_message *message)
{
    buf_clear(&job->settled_message);
    asynq_error error;
    if (task_message_encode(message, &job->settled_message, &error) == ASYNQ_OK)
        return true;
    log_event(&job->queue->server->log, LOG_OUTCOME_NOT_WRITTEN, "task %s of queue \"%s\": %s", job->id,
              job->queue->name, error.text);
    return false;
}

/*
 * The message cannot be written for want of memory. What needs none is written instead: a task that is done must not
 * run again, though its record is not kept; any other comes back without having failed.
 */
static void settle_without_message(asynq_job *job, int outcome)
{
    job->way = outcome == ASYNQ_OUTCOME_DONE ? SETTLE_DONE : SETTLE_REQUEUE;
    if (job->way == SETTLE_DONE)
        attempt_tell_end(job, ASYNQ_ATTEMPT_COMPLETED, "", 0);
    else
        attempt_tell_end(job, ASYNQ_ATTEMPT_REQUEUED, "out of memory", 0);
    job_move(job, JOB_UNSETTLED);
}

static bool decide_success(asynq_job *job, int64_t now_ns)
{
    job->way = SETTLE_DONE;
    if (job->message.retention <= 0)
        return true;
    task_message message = job->message;
    message.completed_at = floor_div(now_ns, NS_PER_SECOND);
    job->way = SETTLE_COMPLETE;
    job->settle_at_ms = after_pause(ms_of_seconds(job->message.retention), now_ns);
    return write_message(job, &message);
}

static bool decide_failure(asynq_job *job, const asynq_failure *failure, int64_t now_ns)
{
    asynq_server *server = job->queue->server;
    const char *error = failure->error;
    task_message message = job->message;
    message.error_msg = bytes_of(error);
    message.last_failed_at = floor_div(now_ns, NS_PER_SECOND);
    if (failure->outcome == ASYNQ_OUTCOME_SKIP_RETRY || message.retried >= message.retry) {
        job->way = SETTLE_ARCHIVE;
        log_event(&server->log, LOG_TASK_ARCHIVED, "%s (%s) of queue \"%s\": %s", job->id, job->type, job->queue->name,
                  error);
        return write_message(job, &message);
    }
    bool is_failure = hook_is_failure(server, failure);
    job->way = is_failure ? SETTLE_RETRY : SETTLE_AGAIN;
    job->settle_at_ms = retry_at_ms(job, failure, now_ns);
    message.retried += is_failure;
    log_debug(&server->log, "task %s (%s) of queue \"%s\" failed and is retried: %s", job->id, job->type,
              job->queue->name, error);
    return write_message(job, &message);
}

/* Among the retries, without having failed. `settle_at_ms` is set. */
static bool decide_again(asynq_job *job, const char *reason)
{
    task_message message = job->message;
    message.error_msg = bytes_of(reason);
    job->way = SETTLE_AGAIN;
    log_debug(&job->queue->server->log, "task %s (%s) of queue \"%s\" is snoozed: %s", job->id, job->type,
              job->queue->name, reason);
    return write_message(job, &message);
}

/* An outcome without text gets one that names it. */
static const char *error_text(int outcome, const char *given, char *room, size_t size)
{
    if (*given)
        return given;
    if (outcome == ASYNQ_OUTCOME_SKIP_RETRY)
        return "skip retry for the task";
    if (outcome == ASYNQ_OUTCOME_REVOKED)
        return "revoke task";
    if (outcome == ASYNQ_OUTCOME_FAILED)
        return "the handler failed and gave no reason";
    if (outcome == ASYNQ_OUTCOME_SNOOZED)
        return "snoozed by the handler";
    snprintf(room, size, "the handler returned %d", outcome);
    return room;
}

/* `job->way` is decided. */
static void tell_end(asynq_job *job, int outcome, const char *error)
{
    if (job->way == SETTLE_RETRY)
        attempt_tell_end(job, ASYNQ_ATTEMPT_RETRIED, error, job->settle_at_ms);
    else if (job->way == SETTLE_AGAIN)
        attempt_tell_end(job, ASYNQ_ATTEMPT_SNOOZED, error, job->settle_at_ms);
    else if (job->way == SETTLE_ARCHIVE)
        attempt_tell_end(job, ASYNQ_ATTEMPT_ARCHIVED, error, 0);
    else
        attempt_tell_end(job, outcome == ASYNQ_OUTCOME_REVOKED ? ASYNQ_ATTEMPT_REVOKED : ASYNQ_ATTEMPT_COMPLETED, error,
                         0);
}

void outcome_decide(asynq_job *job, int outcome, const char *given)
{
    asynq_server *server = job->queue->server;
    int64_t now_ns = clock_now_ns();
    char room[64];
    const char *error = outcome == ASYNQ_OUTCOME_DONE ? "" : error_text(outcome, given, room, sizeof room);
    const asynq_failure failure = hook_failure(job, outcome, error);
    bool is_written;
    if (outcome == ASYNQ_OUTCOME_DONE) {
        is_written = decide_success(job, now_ns);
    } else if (outcome == ASYNQ_OUTCOME_SNOOZED) {
        job->settle_at_ms = retry_at_ms(job, &failure, now_ns);
        is_written = decide_again(job, error);
    } else {
        if (!job->settle_score)
            hook_error(server, &failure);
        job->way = SETTLE_DONE;
        is_written = outcome == ASYNQ_OUTCOME_REVOKED || decide_failure(job, &failure, now_ns);
    }
    if (is_written) {
        tell_end(job, outcome, error);
        job_move(job, JOB_UNSETTLED);
    } else {
        settle_without_message(job, outcome);
    }
}

void outcome_postpone(asynq_job *job, int64_t pause_ms, const char *reason)
{
    job->settle_at_ms = after_pause(pause_ms, clock_now_ns());
    if (decide_again(job, reason))
        job_move(job, JOB_UNSETTLED);
    else
        settle_without_message(job, ASYNQ_OUTCOME_SNOOZED);
}

void outcome_archive_malformed(served_queue *queue, bytes id, bytes found, const char *reason, lease_score lease,
                               bytes exact_score)
{
    asynq_server *server = queue->server;
    asynq_job *job = books_find(queue, id) ? NULL : job_new_malformed(server->port, id, queue->keys.queue, found);
    if (!job)
        return; /* out of memory, or under way already: the recoverer meets it again */
    held_lease held = {lease, loop_steady_ms(server->loop) + BROKER_LEASE_S * MS_PER_SECOND};
    if ((exact_score.data && !job_set_settle_score(job, exact_score)) || !books_enter(queue, job, &held)) {
        job_unref(job); /* out of memory: the next look finds it again */
        return;
    }
    char text[300];
    snprintf(text, sizeof text, "cannot decode the task's message (it is the payload now): %s", reason);
    const asynq_failure failure = hook_failure(job, ASYNQ_OUTCOME_SKIP_RETRY, text);
    if (decide_failure(job, &failure, clock_now_ns()))
        job_move(job, JOB_UNSETTLED);
    else
        attempt_forget(job);
}
