/*
 * See relay.h. Jobs and cancel marks come from other threads in two lists under one lock, and one wake-up for all that
 * is in them.
 */
#include "handler/relay.h"
#include "handler/output.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "event/waker.h"
#include "handler/resources.h"
#include "handler/route.h"

#include <pthread.h>
#include <utlist.h>

enum { BEGIN_BUDGET_NS = 3000000 }; /* of one turn */

struct relay {
    handler_host *host;
    void (*idle)(void *arg);
    void *arg;
    loop_waker waker;

    pthread_mutex_t lock;
    handler_call *arrived; /* by `next` */
    handler_call **arrived_end;
    handler_call *cancelled; /* by `cancelled_next` */

    /* The loop's. */
    /* Have arrived and wait for their turn; by `next`. */
    handler_call *fresh, **fresh_end;
    handler_call *processes, **processes_end; /* those that start one */
    handler_call *running;                    /* by `next` and `prev` */
    size_t count;
};

/* ---- from the server's thread ---- */

static void job_cancelled(asynq_job *job, void *arg)
{
    (void)job;
    handler_call *call = arg;
    relay *r = call->relay;
    pthread_mutex_lock(&r->lock);
    if (!call->is_in_cancelled) {
        call->is_in_cancelled = true;
        call->cancelled_next = r->cancelled;
        r->cancelled = call;
    }
    pthread_mutex_unlock(&r->lock);
    loop_waker_wake(&r->waker);
}

int relay_handle(asynq_job *job, void *arg)
{
    const relay_route *own = arg;
    relay *r = own->relay;
    handler_call *call = mem_calloc(1, sizeof *call);
    if (!call)
        return ASYNQ_OUTCOME_REQUEUED;
    *call = (handler_call){.job = job, .route = own->route, .host = r->host, .relay = r, .values.job = job};
    pthread_mutex_lock(&r->lock);
    *r->arrived_end = call;
    r->arrived_end = &call->next;
    pthread_mutex_unlock(&r->lock);
    loop_waker_wake(&r->waker);
    return ASYNQ_OUTCOME_DEFERRED;
}

/* ---- on the loop ---- */

static handler_call *take_arrived(relay *r)
{
    pthread_mutex_lock(&r->lock);
    handler_call *list = r->arrived;
    r->arrived = NULL;
    r->arrived_end = &r->arrived;
    pthread_mutex_unlock(&r->lock);
    return list;
}

static handler_call *take_cancelled(relay *r)
{
    pthread_mutex_lock(&r->lock);
    handler_call *call = r->cancelled;
    if (call) {
        r->cancelled = call->cancelled_next;
        call->is_in_cancelled = false;
    }
    pthread_mutex_unlock(&r->lock);
    return call;
}

static void relay_begin(relay *r, handler_call *call)
{
    DL_APPEND(r->running, call);
    r->count++;
    asynq_job_on_cancel(call->job, job_cancelled, call);
    if (call->route->kind->waits || handler_start(call))
        call->route->kind->begin(call);
    else
        handler_end(call, ASYNQ_OUTCOME_REQUEUED);
}

static void relay_cancel(handler_call *call)
{
    if (call->is_cancelled)
        return;
    call->is_cancelled = true;
    call->route->kind->cancel(call);
}

/* Each kind in its order. */
static void relay_sort_arrived(relay *r)
{
    for (handler_call *call = take_arrived(r), *next; call; call = next) {
        next = call->next;
        call->next = NULL;
        handler_call ***end = call->route->kind->starts_process ? &r->processes_end : &r->fresh_end;
        **end = call;
        *end = &call->next;
    }
}

static handler_call *relay_take(handler_call **list, handler_call ***end)
{
    handler_call *call = *list;
    if (!call)
        return NULL;
    *list = call->next;
    if (!*list)
        *end = list;
    call->next = NULL;
    return call;
}

/*
 * Not all at once: what begins may cost something, and others wait for the loop. A process costs a hundred times what a
 * request does, so they begin behind all others, but at least one in each turn.
 */
static void relay_begin_some(relay *r, int64_t budget_ns)
{
    int64_t end_ns = clock_steady_ns() + budget_ns;
    handler_call *call;
    relay_sort_arrived(r);
    while ((call = relay_take(&r->fresh, &r->fresh_end)) && clock_steady_ns() < end_ns)
        relay_begin(r, call);
    if (call)
        relay_begin(r, call); /* taken when the time was over */
    while ((call = relay_take(&r->processes, &r->processes_end))) {
        relay_begin(r, call);
        if (clock_steady_ns() >= end_ns)
            break;
    }
    if (r->fresh || r->processes)
        loop_waker_wake(&r->waker);
}

static void relay_woken(void *arg)
{
    relay *r = arg;
    relay_begin_some(r, BEGIN_BUDGET_NS);
    for (handler_call *call; (call = take_cancelled(r));)
        relay_cancel(call);
}

static void leave_cancelled(relay *r, handler_call *call)
{
    pthread_mutex_lock(&r->lock);
    if (call->is_in_cancelled)
        LL_DELETE2(r->cancelled, call, cancelled_next);
    pthread_mutex_unlock(&r->lock);
}

bool handler_start(handler_call *call)
{
    call->is_started = true;
    if (!asynq_job_start(call->job))
        return false;
    call->note = asynq_job_data(call->job);
    if (call->note)
        call->note->refs++;
    return true;
}

void handler_end(handler_call *call, int outcome)
{
    relay *r = call->relay;
    handler_end_output(call);
    attempt_note_unref(call->note);
    asynq_complete(call->job, outcome); /* from now on nobody cancels it */
    leave_cancelled(r, call);
    DL_DELETE(r->running, call);
    template_values_clear(&call->values);
    mem_free(call);
    if (--r->count == 0)
        r->idle(r->arg);
}

size_t relay_count(const relay *r)
{
    return r->count;
}

void relay_cancel_all(relay *r)
{
    handler_call *call, *next;
    relay_begin_some(r, INT64_MAX / 2); /* also those that have just arrived */
    DL_FOREACH_SAFE(r->running, call, next)
        relay_cancel(call);
}

/* ---- what handlers use ---- */

void attempt_note_unref(attempt_note *note)
{
    if (!note || --note->refs)
        return;
    attempt_output_free(note->output);
    mem_free(note);
}

attempt_note *handler_note(handler_call *call)
{
    static _Thread_local attempt_note nowhere;
    return call->note ? call->note : &nowhere;
}

int64_t handler_time_left_ms(const handler_call *call)
{
    int64_t left_ms = asynq_job_deadline_ms(call->job) - clock_now_ns() / NS_PER_MS;
    return left_ms > 1 ? left_ms : 1;
}

void handler_requeue(handler_call *call, const char *what, int problem)
{
    resources_tell(call->host->resources, call->route->kind->starts_process, what, problem);
    handler_end(call, ASYNQ_OUTCOME_REQUEUED);
}

void handler_fail(handler_call *call, handler_failure failure, const char *error_class, int64_t pause_ms,
                  const char *format, ...)
{
    buf text;
    va_list args;
    buf_init(&text, 0);
    va_start(args, format);
    buf_append_formatv(&text, format, args);
    va_end(args);
    const char *reason = text.data ? text.data : "out of memory";
    if (!call->is_started)
        (void)!handler_start(call); /* it was found wrong before it had its place; that is an attempt, too */
    handler_note(call)->error_class = error_class;
    int outcome = failure == HANDLER_PERMANENT ? asynq_skip_retry(call->job, "%s", reason)
                                               : asynq_retry_after(call->job, pause_ms, "%s", reason);
    buf_clear(&text);
    handler_end(call, outcome);
}

/* ---- making ---- */

relay *relay_new(handler_host *host, void (*idle)(void *arg), void *arg)
{
    relay *r = mem_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->host = host;
    r->idle = idle;
    r->arg = arg;
    r->arrived_end = &r->arrived;
    r->fresh_end = &r->fresh;
    r->processes_end = &r->processes;
    pthread_mutex_init(&r->lock, NULL);
    if (!loop_waker_init(host->loop, &r->waker, relay_woken, r))
        return r;
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
    return NULL;
}

void relay_free(relay *r)
{
    if (!r)
        return;
    loop_waker_clear(&r->waker);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}
