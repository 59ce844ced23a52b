/* See books.h. */
#include "server/books.h"

#include "server/limit.h"
#include "server/server.h"

#include <utlist.h>

/* ---- slots ---- */

void slot_take(asynq_job *job)
{
    job->holds_slot = true;
    job->queue->server->slots_free--;
    capacity_take(job);
}

void slot_free(asynq_job *job)
{
    if (!job->holds_slot)
        return;
    job->holds_slot = false;
    job->queue->server->slots_free++;
    capacity_give_back(job);
}

/* ---- entering ---- */

bool books_enter(served_queue *queue, asynq_job *job, const held_lease *lease)
{
    job_books *books = &queue->books;
    queue_hold(queue);
    job->queue = queue;
    job->tag = lease->score.tag;
    job->lease_ends_at_ms = lease->ends_at_ms;
    HASH_ADD_KEYPTR(hh, books->jobs, job->id, job->id_length, job);
    if (!HASH_HAS(job))
        return false;
    queue->server->job_count++;
    queue_list_add(queue, QUEUES_WITH_JOBS);
    if (!job->settle_score) {
        job->number = ++books->last_number;
        DL_APPEND2(books->by_age, job, age_prev, age_next);
        DL_APPEND2(books->to_renew, job, renew_prev, renew_next);
    }
    return true;
}

asynq_job *books_find(const served_queue *queue, bytes id)
{
    asynq_job *job = NULL;
    HASH_FIND(hh, queue->books.jobs, id.data, id.length, job);
    return job;
}

asynq_job *books_rotate_renewals(served_queue *queue)
{
    asynq_job *job = queue->books.to_renew;
    DL_DELETE2(queue->books.to_renew, job, renew_prev, renew_next);
    DL_APPEND2(queue->books.to_renew, job, renew_prev, renew_next);
    return job;
}

/* ---- what each state takes with it ---- */

static void enter_running(asynq_job *job)
{
    DL_APPEND(job->queue->books.running, job);
    job->queue->server->running_count++;
}

/* A thread that has not come back keeps the slot. */
static void leave_running(asynq_job *job)
{
    served_queue *queue = job->queue;
    loop_timer_cancel(&job->deadline_timer);
    DL_DELETE(queue->books.running, job);
    queue->server->running_count--;
    if (job->recorded)
        heartbeat_ended(queue->server, job);
    if (!job->holds_thread)
        slot_free(job);
    limit_leave(job);
}

/* What comes back from Redis goes before the others; a chunk is put back from its last to its first. */
static void enter_unsettled(asynq_job *job)
{
    if (job->state == JOB_SETTLING)
        DL_PREPEND(job->queue->books.unsettled, job);
    else
        DL_APPEND(job->queue->books.unsettled, job);
    job->queue->books.unsettled_count++;
    queue_list_add(job->queue, QUEUES_UNSETTLED);
}

static void leave_unsettled(asynq_job *job)
{
    DL_DELETE(job->queue->books.unsettled, job);
    if (!--job->queue->books.unsettled_count)
        queue_list_remove(job->queue, QUEUES_UNSETTLED);
}

static void enter_settling(asynq_job *job)
{
    DL_APPEND(job->queue->books.settling, job);
}

static void leave_settling(asynq_job *job)
{
    DL_DELETE(job->queue->books.settling, job);
}

static void enter_gone(asynq_job *job)
{
    job_books *books = &job->queue->books;
    HASH_DEL(books->jobs, job);
    job->queue->server->job_count--;
    if (!books->jobs)
        queue_list_remove(job->queue, QUEUES_WITH_JOBS);
    if (!job->settle_score) {
        DL_DELETE2(books->by_age, job, age_prev, age_next);
        DL_DELETE2(books->to_renew, job, renew_prev, renew_next);
    }
}

typedef struct state_row {
    const char *name;
    void (*leave)(asynq_job *job); /* before the state changes; NULL: nothing to do */
    void (*enter)(asynq_job *job); /* the state is still the one before */
} state_row;

static const state_row state_rows[] = {
    [JOB_FRESH] = {"fresh", NULL, NULL},
    [JOB_RUNNING] = {"running", leave_running, enter_running},
    [JOB_UNSETTLED] = {"unsettled", leave_unsettled, enter_unsettled},
    [JOB_SETTLING] = {"settling", leave_settling, enter_settling},
    [JOB_GONE] = {"gone", NULL, enter_gone},
};

void job_move(asynq_job *job, job_state to)
{
    const state_row *before = &state_rows[job->state], *after = &state_rows[to];
    log_debug(&job->queue->server->log, "task %s (%s) of queue \"%s\": %s, then %s", job->id, job->type,
              job->queue->name, before->name, after->name);
    if (before->leave)
        before->leave(job);
    if (after->enter)
        after->enter(job);
    job->state = to;
    if (to == JOB_GONE)
        job_unref(job);
}
