/* The life of a job in this server, from lease to outcome. */
#include "server/attempt.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/saturate.h"
#include "server/hooks.h"
#include "server/job_port.h"
#include "server/limit.h"
#include "server/outcome.h"
#include "server/result_flush.h"
#include "server/server.h"

#include <utlist.h>

enum {
    LATE_REQUEUE_MS = 10000, /* to give a task back whose lease was answered late */
    PUT_BACK_PAUSE_MS = 1000 /* for a task that there was no memory to run */
};

bool held_lease_has_ended(const held_lease *lease)
{
    return clock_steady_ms() >= lease->ends_at_ms;
}

/* ---- who hears of it ---- */

void attempt_tell_end(asynq_job *job, asynq_attempt_end end, const char *error, int64_t next_at_ms)
{
    asynq_server *server = job->queue->server;
    if (!job_untell(job))
        return;
    const asynq_attempt attempt = {.job = job,
                                   .end = end,
                                   .error = error,
                                   .pending_since_ms = job->pending_since_ns / NS_PER_MS,
                                   .started_at_ms = job->started_at_ns / NS_PER_MS,
                                   .ended_at_ms = ceil_div(clock_now_ns(), NS_PER_MS),
                                   .next_at_ms = next_at_ms,
                                   .code = job->result_is_ours ? job->code : 0,
                                   .cancel_reason = asynq_job_cancel_reason(job)};
    hook_end(server, &attempt);
}

static const char *const end_names[] = {
    [ASYNQ_ATTEMPT_COMPLETED] = "completed", [ASYNQ_ATTEMPT_RETRIED] = "retried", [ASYNQ_ATTEMPT_ARCHIVED] = "archived",
    [ASYNQ_ATTEMPT_REVOKED] = "revoked",     [ASYNQ_ATTEMPT_SNOOZED] = "snoozed", [ASYNQ_ATTEMPT_REQUEUED] = "requeued",
    [ASYNQ_ATTEMPT_LOST] = "lost",
};

const char *asynq_attempt_end_name(asynq_attempt_end end)
{
    return (size_t)end < sizeof end_names / sizeof *end_names ? end_names[end] : "?";
}

static void attempt_returned(asynq_job *job);

/* ---- beginning ---- */

/* What its deadline is as long as it has not begun: that of an attempt which begins now. */
static int64_t attempt_deadline_ns(const asynq_job *job, int64_t now_ns)
{
    bool waits = job->route->deferred_start && job->beginning == JOB_MAY_BEGIN;
    return waits ? job_effective_deadline_ns(&job->message, now_ns) : job->deadline_ns;
}

static void deadline_reached(void *arg)
{
    asynq_job *job = arg;
    int64_t now_ns = loop_now_ns(job->queue->server->loop), left_ns = attempt_deadline_ns(job, now_ns) - now_ns;
    if (left_ns > 0) /* the wall clock was set back */
        loop_timer_set(&job->deadline_timer, left_ns / NS_PER_MS + 1);
    else if (job->holds_thread && job_withdraw(job))
        attempt_requeue(job); /* its thread did not come in time, which is no failure of the task */
    else
        attempt_give_up(job, ASYNQ_CANCEL_DEADLINE, "context deadline exceeded");
}

static bool attempt_register(served_queue *queue, asynq_job *job, const held_lease *lease)
{
    if (!books_enter(queue, job, lease))
        return false;
    if (held_lease_has_ended(lease)) /* nobody may have taken the task yet; the fence knows */
        job->lease_ends_at_ms = clock_steady_ms() + LATE_REQUEUE_MS;
    loop_timer_init(queue->server->loop, &job->deadline_timer, deadline_reached, job);
    job_move(job, JOB_RUNNING);
    return true;
}

static void attempt_run_on_loop(asynq_job *job)
{
    job_ref(job); /* the handler's */
    if (!job->route->deferred_start)
        (void)job_begin(job);
    int outcome = mux_run(job->queue->server->mux, job->route, job);
    if (outcome != ASYNQ_OUTCOME_DEFERRED && job_claim(job, outcome))
        attempt_returned(job);
}

/* The handler is called after this turn's decisions. False: there is no thread, and the job has gone back. */
static bool attempt_run_in_thread(asynq_job *job)
{
    asynq_server *server = job->queue->server;
    job_ref(job);
    job->holds_thread = job_pool_run(server->pool, job) == ASYNQ_OK;
    if (job->holds_thread)
        return true;
    job_unref(job);
    limit_give_back(job);
    attempt_requeue(job);
    threads_lack(server);
    return false;
}

void attempt_start(asynq_job *job)
{
    asynq_server *server = job->queue->server;
    int64_t now_ns = loop_now_ns(server->loop);
    job->started_at_ns = now_ns;
    job->deadline_ns = job_effective_deadline_ns(&job->message, now_ns);
    if (job->deadline_ns <= now_ns) {
        limit_give_back(job);
        attempt_give_up(job, ASYNQ_CANCEL_DEADLINE, "context deadline exceeded");
        return;
    }
    bool is_async = job->route->kind == ASYNQ_HANDLER_ASYNC;
    if (!is_async && !attempt_run_in_thread(job))
        return;
    /* A day is enough for one setting: the timer looks at the clock when it fires. */
    int64_t left_ms = (job->deadline_ns - now_ns) / NS_PER_MS + 1;
    int64_t day_ms = 24 * 3600 * MS_PER_SECOND;
    loop_timer_set(&job->deadline_timer, left_ms < day_ms ? left_ms : day_ms);
    if (!job->route->deferred_start)
        job_tell(job);
    if (is_async)
        attempt_run_on_loop(job);
}

static void attempt_run(asynq_job *job)
{
    asynq_server *server = job->queue->server;
    if (!job->message.timeout && !job->message.deadline)
        log_event(&server->log, LOG_TIME_LIMIT_MISSING,
                  "task %s (%s) of queue \"%s\" has neither timeout nor deadline; it gets 30 minutes", job->id,
                  job->type, job->queue->name);
    job->policy = mux_innermost(job->route, job->type);
    if (job->policy->limit.scope)
        limit_enter(job);
    else
        attempt_start(job);
}

/*
 * A task that stands in our books was leased anew. So our older lease of it is over: its outcome was written by a
 * command whose reply was lost, or the lease ran out and somebody gave the task back. False: it cannot be forgotten
 * now.
 */
static bool attempt_supersede(asynq_job *known)
{
    if (known->state == JOB_SETTLING)
        return false;
    if (known->state == JOB_UNSETTLED && known->settle_unknown)
        attempt_forget(known);
    else
        attempt_lease_lost(known, "it was leased anew");
    return true;
}

/*
 * There is no memory to run it: it goes back as it came, among the retries for a moment, and nothing is counted. If its
 * lease ran out instead, whoever recovers it would count a failure, and archive a task that may not fail.
 */
static void attempt_put_back(served_queue *queue, leased_task task, const held_lease *lease)
{
    asynq_server *server = queue->server;
    int64_t now_ns = loop_now_ns(server->loop);
    const settle_item item = {
        .way = SETTLE_AGAIN,
        .id = task.id,
        .tag = lease->score.tag,
        .message = task.message,
        .at_ms = floor_div(now_ns, NS_PER_MS) + PUT_BACK_PAUSE_MS,
    };
    int status = broker_settle(queue->broker, &queue->keys, &item, 1, now_ns, NULL, NULL);
    log_event_repeated(&server->log, &queue->odd_tasks, LOG_TASK_NOT_RUN, "queue \"%s\", task %.*s: out of memory; %s",
                       queue->name, BYTES_ARGS(task.id), status ? "its lease runs out" : "it is delayed for a moment");
}

/* Nobody else may have the task. */
static bool attempt_may_run(const asynq_server *server, const held_lease *lease)
{
    int64_t now_ms = clock_steady_ms();
    return now_ms < lease->ends_at_ms && session_covers(server, lease->score.tag, now_ms);
}

void attempt_begin(served_queue *queue, leased_task task, const held_lease *lease)
{
    asynq_server *server = queue->server;
    asynq_error error;
    if (!task.id.data) {
        log_event_repeated(&server->log, &queue->odd_tasks, LOG_TASK_NOT_RUN,
                           "queue \"%s\": the reply to a lease has a task without an id; it is passed over",
                           queue->name);
        return;
    }
    if (!task.message.data) {
        queue_tell_dropped(queue, task.id);
        return;
    }
    asynq_job *job = job_new(server->port, task.message, &error);
    if (!job && error.code == ASYNQ_E_MALFORMED) {
        outcome_archive_malformed(queue, task.id, task.message, error.text, lease->score, (bytes){0});
        return;
    }
    asynq_job *known = books_find(queue, task.id);
    if (known && known->tag == lease->score.tag) { /* the attempt that we have is that of this lease */
        if (job)
            job_unref(job);
        return;
    }
    bool is_known = known && !attempt_supersede(known);
    if (!job || is_known || !job_set_id(job, task.id) || !attempt_register(queue, job, lease)) {
        if (is_known) /* the lease runs out and the task comes back */
            log_event_repeated(&server->log, &queue->odd_tasks, LOG_TASK_NOT_RUN,
                               "queue \"%s\", task %.*s: an earlier attempt is not finished", queue->name,
                               BYTES_ARGS(task.id));
        else
            attempt_put_back(queue, task, lease);
        if (job)
            job_unref(job);
        return;
    }
    job->pending_since_ns = task.pending_since;
    job->route = mux_find(server->mux, job->type);
    slot_take(job);
    if (server->fetching && attempt_may_run(server, lease))
        attempt_run(job);
    else
        attempt_requeue(job); /* the server was stopped, or the process suspended, while the lease was under way */
}

/* ---- ending ---- */

void attempt_forget(asynq_job *job)
{
    (void)job_withdraw(job);
    attempt_tell_end(job, ASYNQ_ATTEMPT_LOST, "the server has lost the task", 0);
    job_move(job, JOB_GONE);
}

void attempt_give_up(asynq_job *job, asynq_cancel_reason reason, const char *text)
{
    job_cancel(job, reason);
    outcome_decide(job, ASYNQ_OUTCOME_FAILED, text);
}

void attempt_lease_lost(asynq_job *job, const char *reason)
{
    asynq_server *server = job->queue->server;
    log_event(&server->log, LOG_LEASE_LOST, "task %s (%s) of queue \"%s\": %s", job->id, job->type, job->queue->name,
              reason);
    server->stats.leases_lost++;
    if (job->state == JOB_RUNNING) {
        job_cancel(job, ASYNQ_CANCEL_LEASE_LOST);
        const asynq_failure failure = hook_failure(job, ASYNQ_OUTCOME_FAILED, "asynq: task lease expired");
        hook_error(server, &failure);
        attempt_tell_end(job, ASYNQ_ATTEMPT_LOST, reason, 0);
    }
    if (job->state != JOB_SETTLING)
        attempt_forget(job);
}

/* A handler on the loop begins with its attempt, or when it says so; a thread's may wait for its thread, and all for a
 * token. */
static bool attempt_has_begun(asynq_job *job)
{
    return job->holds_thread || job->route->deferred_start ? !job_withdraw(job) : job_is_told(job);
}

void attempt_lease_ended(asynq_job *job, const char *reason)
{
    if (job->state != JOB_RUNNING || attempt_has_begun(job)) {
        attempt_lease_lost(job, reason);
        return;
    }
    job->lease_ends_at_ms = clock_steady_ms() + LATE_REQUEUE_MS;
    attempt_requeue(job);
}

void attempt_requeue(asynq_job *job)
{
    job_cancel(job, ASYNQ_CANCEL_SHUTDOWN);
    attempt_tell_end(job, ASYNQ_ATTEMPT_REQUEUED, "requeued unfinished", 0);
    job->way = SETTLE_REQUEUE;
    job_move(job, JOB_UNSETTLED);
}

static void attempt_returned(asynq_job *job)
{
    limit_give_back(job);
    job->holds_thread = false;
    if (job->state == JOB_RUNNING) {
        job->result_is_ours = true;
        if (job->outcome == ASYNQ_OUTCOME_REQUEUED)
            attempt_requeue(job);
        else
            outcome_decide(job, job->outcome, job->error_text.data ? job->error_text.data : "");
    } else {
        slot_free(job); /* it was given up before; only its thread comes back now */
    }
    job_unref(job); /* the handler's */
}

static void attempt_take_returned(void *arg)
{
    asynq_server *server = arg;
    result_flush_turn(server); /* before their ends */
    for (asynq_job *job = job_port_take(server->port); job;) {
        asynq_job *next = job->port_next;
        attempt_returned(job);
        job = next;
    }
}

/* ---- all of them ---- */

int jobs_start(asynq_server *server)
{
    server->returns.fd = -1;
    int status = loop_waker_init(server->loop, &server->returns, attempt_take_returned, server);
    if (status)
        return status;
    server->port = job_port_new(&server->returns);
    server->pool = job_pool_new(server->slots, server->mux, server->own_mux);
    if (server->pool)
        server->own_mux = NULL; /* the pool's now */
    return server->port && server->pool ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

void jobs_stop(asynq_server *server)
{
    while (server->lists[QUEUES_WITH_JOBS])
        attempt_forget(server->lists[QUEUES_WITH_JOBS]->books.jobs);
    if (server->port)
        job_port_close(server->port);
    job_port_unref(server->port);
    server->port = NULL;
    job_pool_shutdown(server->pool);
    server->pool = NULL;
    if (server->returns.cb) /* else it was never made */
        loop_waker_clear(&server->returns);
}
