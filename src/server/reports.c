/*
 * Reports: failures and ends of attempts, for functions of the program that may block. A thread calls them one at a
 * time, in the order of the events. The loop never waits for it: what does not fit into the queue is dropped. The
 * thread may outlive the server, if a function does not return; the reporter is freed by whoever leaves last.
 */
#include "server/hooks.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/structs.h"
#include "base/thread.h"
#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <utlist.h>

enum { REPORTS_LAST_WAIT_MS = 100 };

/* One of the two; the text stands behind. */
typedef struct report {
    struct report *prev, *next;
    asynq_job *job; /* counted */
    bool is_end;
    asynq_failure failure;
    asynq_attempt attempt;
    char text[];
} report;

struct reporter {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* there is a report, or it is over */
    pthread_cond_t ended; /* the thread has ended */
    int refs;             /* the server's and the thread's; under the lock */
    bool is_closed, has_ended;
    report *waiting;
    size_t count;

    asynq_server_options options; /* its functions */
    const asynq_sizes *sizes;
};

static void report_free(report *r)
{
    job_unref(r->job);
    mem_free(r);
}

/* Under the lock, which is given up. None waits any more: see reports_stop(). */
static void reporter_unref(reporter *own)
{
    bool is_last = --own->refs == 0;
    pthread_mutex_unlock(&own->lock);
    if (!is_last)
        return;
    pthread_cond_destroy(&own->work);
    pthread_cond_destroy(&own->ended);
    pthread_mutex_destroy(&own->lock);
    mem_free(own);
}

/* ---- the thread ---- */

static void report_tell(const reporter *own, const report *r)
{
    structs_room room;
    if (r->is_end)
        own->options.report_end(structs_shown_in(&room, own->sizes, STRUCT_ATTEMPT, &r->attempt), own->options.arg);
    else
        own->options.report_error(structs_shown_in(&room, own->sizes, STRUCT_FAILURE, &r->failure), own->options.arg);
}

static void *reporter_thread(void *arg)
{
    reporter *own = arg;
    pthread_mutex_lock(&own->lock);
    while (own->waiting || !own->is_closed) {
        report *r = own->waiting;
        if (!r) {
            pthread_cond_wait(&own->work, &own->lock);
            continue;
        }
        DL_DELETE(own->waiting, r);
        own->count--;
        pthread_mutex_unlock(&own->lock);
        report_tell(own, r);
        report_free(r);
        pthread_mutex_lock(&own->lock);
    }
    own->has_ended = true;
    pthread_cond_signal(&own->ended);
    reporter_unref(own);
    return NULL;
}

/* ---- the loop ---- */

/* False: the queue is full. */
static bool reporter_add(reporter *own, report *r)
{
    pthread_mutex_lock(&own->lock);
    bool has_room = own->count < (size_t)own->options.max_waiting_reports;
    if (has_room) {
        DL_APPEND(own->waiting, r);
        own->count++;
        pthread_cond_signal(&own->work);
    }
    pthread_mutex_unlock(&own->lock);
    return has_room;
}

static report *report_new(const asynq_job *job, const char *text)
{
    size_t size = strlen(text) + 1;
    report *r = mem_alloc(sizeof *r + size);
    if (!r)
        return NULL;
    *r = (report){.job = (asynq_job *)(uintptr_t)job};
    memcpy(r->text, text, size);
    job_ref(r->job);
    return r;
}

/* `r` is NULL for want of memory. */
static void report_hand_over(asynq_server *server, report *r, const asynq_job *job)
{
    bool is_added = r && reporter_add(server->reporter, r);
    if (!is_added) {
        server->stats.reports_dropped++;
        log_event_repeated(&server->log, &server->complaint, LOG_REPORT_DROPPED,
                           "task %s: no room: %" PRId64 " wait for report_error and report_end", job->id,
                           server->options.max_waiting_reports);
    }
    if (r && !is_added)
        report_free(r);
}

void report_failure(asynq_server *server, const asynq_failure *failure)
{
    if (!server->reporter || !server->options.report_error)
        return;
    report *r = report_new(failure->job, failure->error);
    if (r) {
        r->failure = *failure;
        r->failure.error = r->text;
    }
    report_hand_over(server, r, failure->job);
}

void report_attempt(asynq_server *server, const asynq_attempt *attempt)
{
    if (!server->reporter || !server->options.report_end)
        return;
    report *r = report_new(attempt->job, attempt->error);
    if (r) {
        r->is_end = true;
        r->attempt = *attempt;
        r->attempt.error = r->text;
    }
    report_hand_over(server, r, attempt->job);
}

/* ---- the whole ---- */

static reporter *reporter_new(const asynq_server *server)
{
    reporter *own = mem_calloc(1, sizeof *own);
    if (!own)
        return NULL;
    pthread_mutex_init(&own->lock, NULL);
    pthread_cond_init(&own->work, NULL);
    thread_cond_init(&own->ended);
    own->options = server->options;
    own->sizes = server->sizes;
    own->refs = 1;
    return own;
}

int reports_start(asynq_server *server)
{
    pthread_t thread;
    if (!server->options.report_error && !server->options.report_end)
        return ASYNQ_OK;
    server->reporter = reporter_new(server);
    if (!server->reporter)
        return ASYNQ_E_NO_MEMORY;
    server->reporter->refs = 2;
    int status = thread_start(&thread, reporter_thread, server->reporter, NULL);
    if (!status)
        pthread_detach(thread);
    else
        server->reporter->refs = 1;
    return status;
}

void reports_stop(asynq_server *server)
{
    reporter *own = server->reporter;
    server->reporter = NULL;
    if (!own)
        return;
    int64_t left_ms = server->shutdown.ends_at_ms - clock_steady_ms();
    struct timespec until = thread_wait_end(left_ms > REPORTS_LAST_WAIT_MS ? left_ms : REPORTS_LAST_WAIT_MS);
    pthread_mutex_lock(&own->lock);
    own->is_closed = true;
    pthread_cond_signal(&own->work);
    bool has_thread = own->refs > 1;
    while (has_thread && !own->has_ended && pthread_cond_timedwait(&own->ended, &own->lock, &until) != ETIMEDOUT)
        continue;
    size_t left = own->count;
    report *r, *next;
    DL_FOREACH_SAFE(own->waiting, r, next) {
        DL_DELETE(own->waiting, r);
        report_free(r);
    }
    own->count = 0;
    if (left)
        log_event(&server->log, LOG_REPORT_DROPPED, "%zu at the shutdown: report_error and report_end took too long",
                  left);
    reporter_unref(own);
}
