/* See job.h. */
#include "server/job.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"
#include "base/text.h"
#include "base/thread.h"
#include "server/job_port.h"
#include "server/result_flush.h"
#include "server/server.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <utlist.h>

enum { JOB_MAX_ERROR_TEXT = 64 * 1024, JOB_DEFAULT_LIMIT_S = 1800 };

/* A thread in asynq_job_wait_cancelled(). */
struct job_waiter {
    job_waiter *next;
    pthread_cond_t cancelled;
};

/* ---- job ---- */

static int job_decode(asynq_job *job, bytes raw, asynq_error *error)
{
    record_arena_init(&job->memory, raw.length);
    int status = task_message_decode(&job->message, raw, &job->memory, error);
    if (status)
        return status;
    task_message *message = &job->message;
    job->id = arena_dup(&job->memory, message->id.data, message->id.length);
    job->id_length = message->id.length;
    job->type = arena_dup(&job->memory, message->type.data, message->type.length);
    job->queue_name = arena_dup(&job->memory, message->queue.data, message->queue.length);
    char *payload = arena_dup(&job->memory, message->payload.data, message->payload.length);
    message->payload.data = payload; /* with a NUL byte behind */
    if (!job->id || !job->type || !job->queue_name || !payload)
        return record_failure(&job->memory, error);
    task_header *headers = (task_header *)(uintptr_t)message->headers;
    for (size_t i = 0; i < message->header_count; i++) {
        headers[i].key.data = arena_dup(&job->memory, headers[i].key.data, headers[i].key.length);
        headers[i].value.data = arena_dup(&job->memory, headers[i].value.data, headers[i].value.length);
        if (!headers[i].key.data || !headers[i].value.data)
            return record_failure(&job->memory, error);
    }
    return ASYNQ_OK;
}

asynq_job *job_new(job_port *port, bytes message, asynq_error *error)
{
    asynq_job *job = mem_calloc(1, sizeof *job);
    if (!job) {
        error_set_code(error, ASYNQ_E_NO_MEMORY);
        return NULL;
    }
    job->refs = 1;
    job->retry_in_ms = ASYNQ_NONE;
    if (job_decode(job, message, error)) {
        arena_clear(&job->memory);
        mem_free(job);
        return NULL;
    }
    job_port_ref(port);
    job->port = port;
    buf_init(&job->error_text, 0);
    buf_init(&job->result, 0);
    buf_init(&job->settled_message, 0);
    return job;
}

asynq_job *job_new_malformed(job_port *port, bytes id, bytes queue, bytes found)
{
    char *readable_id = mem_dup(id.data, id.length);
    if (!readable_id)
        return NULL;
    text_make_utf8(readable_id, id.length);
    task_message message = {
        .type = bytes_of("libasynq:malformed"),
        .payload = found,
        .id = {readable_id, id.length},
        .queue = queue,
    };
    buf encoded;
    buf_init(&encoded, 0);
    asynq_job *job = NULL;
    if (task_message_encode(&message, &encoded, NULL) == ASYNQ_OK)
        job = job_new(port, (bytes){encoded.data, encoded.length}, NULL);
    buf_clear(&encoded);
    mem_free(readable_id);
    if (job && !job_set_id(job, id)) {
        job_unref(job);
        return NULL;
    }
    return job;
}

bool job_set_id(asynq_job *job, bytes id)
{
    if (bytes_equal(job->message.id, id))
        return true;
    job->id = arena_dup(&job->memory, id.data, id.length);
    job->id_length = id.length;
    return job->id != NULL;
}

bool job_set_settle_score(asynq_job *job, bytes score)
{
    job->settle_score = arena_dup(&job->memory, score.data, score.length);
    return job->settle_score != NULL;
}

void job_ref(asynq_job *job)
{
    job->refs++;
}

void job_unref(asynq_job *job)
{
    if (--job->refs)
        return;
    if (job->queue)
        queue_let_go(job->queue);
    job_port_unref(job->port);
    buf_clear(&job->error_text);
    buf_clear(&job->result);
    buf_clear(&job->settled_message);
    arena_clear(&job->memory);
    mem_free(job->progress);
    if (job->flush)
        buf_clear(&job->flush->result);
    mem_free(job->flush);
    mem_free(job);
}

int64_t job_effective_deadline_ns(const task_message *message, int64_t now_ns)
{
    if (!message->timeout && !message->deadline)
        return saturating_add(now_ns, JOB_DEFAULT_LIMIT_S * NS_PER_SECOND);
    int64_t deadline = message->deadline ? ns_of_seconds(message->deadline) : INT64_MAX;
    int64_t end = message->timeout ? saturating_add(now_ns, ns_of_seconds(message->timeout)) : INT64_MAX;
    return end < deadline ? end : deadline;
}

static bool job_decide_beginning(asynq_job *job, job_beginning decision)
{
    int undecided = JOB_MAY_BEGIN;
    return atomic_compare_exchange_strong(&job->beginning, &undecided, decision) || undecided == (int)decision;
}

bool job_begin(asynq_job *job)
{
    return job_decide_beginning(job, JOB_HAS_BEGUN);
}

bool job_withdraw(asynq_job *job)
{
    return job_decide_beginning(job, JOB_IS_WITHDRAWN);
}

void job_tell(asynq_job *job)
{
    job->is_told = true;
    if (!job->queue) /* a job for a plug-in that runs apart has no server */
        return;
    const asynq_server_options *options = &job->queue->server->options;
    if (options->on_start)
        options->on_start(job, options->arg);
}

bool job_untell(asynq_job *job)
{
    pthread_mutex_lock(&job->port->lock);
    bool was_told = job->is_told;
    job->is_told = false;
    pthread_mutex_unlock(&job->port->lock);
    return was_told;
}

bool job_is_told(asynq_job *job)
{
    pthread_mutex_lock(&job->port->lock);
    bool is_told = job->is_told;
    pthread_mutex_unlock(&job->port->lock);
    return is_told;
}

bool asynq_job_start(asynq_job *job)
{
    int undecided = JOB_MAY_BEGIN; /* of a route that does not start later it is decided already */
    int64_t now_ns = clock_now_ns();
    /* Under the lock, so that the end is not told before the start is, and the server is still there. */
    pthread_mutex_lock(&job->port->lock);
    bool may_begin = atomic_compare_exchange_strong(&job->beginning, &undecided, JOB_HAS_BEGUN);
    if (may_begin) {
        job->started_at_ns = now_ns;
        job->deadline_ns = job_effective_deadline_ns(&job->message, now_ns);
        job_tell(job);
    }
    pthread_mutex_unlock(&job->port->lock);
    return may_begin;
}

void job_cancel(asynq_job *job, asynq_cancel_reason reason)
{
    int none = ASYNQ_CANCEL_NONE;
    (void)job_withdraw(job);
    atomic_compare_exchange_strong(&job->cancel_reason, &none, (int)reason);
    pthread_mutex_lock(&job->port->lock);
    bool is_first = !atomic_exchange(&job->cancelled, true);
    if (is_first && job->on_cancel)
        job->on_cancel(job, job->on_cancel_arg);
    for (job_waiter *waiter = job->waiters; waiter; waiter = waiter->next)
        pthread_cond_signal(&waiter->cancelled);
    pthread_mutex_unlock(&job->port->lock);
}

/* ---- what handlers ask and say ---- */

const char *asynq_job_id(const asynq_job *job)
{
    return job->id;
}

const char *asynq_job_type(const asynq_job *job)
{
    return job->type;
}

const char *asynq_job_queue(const asynq_job *job)
{
    return job->queue_name;
}

const void *asynq_job_payload(const asynq_job *job, size_t *length)
{
    if (length)
        *length = job->message.payload.length;
    return job->message.payload.data;
}

int asynq_job_retry_count(const asynq_job *job)
{
    return job->message.retried;
}

int asynq_job_max_retry(const asynq_job *job)
{
    return job->message.retry;
}

int64_t asynq_job_deadline_ms(const asynq_job *job)
{
    return floor_div(job->deadline_ns, NS_PER_MS);
}

size_t asynq_job_header_count(const asynq_job *job)
{
    return job->message.header_count;
}

const char *asynq_job_header_key(const asynq_job *job, size_t index)
{
    return index < job->message.header_count ? job->message.headers[index].key.data : NULL;
}

const char *asynq_job_header_value(const asynq_job *job, size_t index)
{
    return index < job->message.header_count ? job->message.headers[index].value.data : NULL;
}

static const char *job_bytes(bytes text, size_t *length)
{
    if (length)
        *length = text.length;
    return text.data;
}

const char *asynq_job_id_bytes(const asynq_job *job, size_t *length)
{
    return job_bytes(job_id(job), length);
}

const char *asynq_job_type_bytes(const asynq_job *job, size_t *length)
{
    return job_bytes((bytes){job->type, job->message.type.length}, length);
}

const char *asynq_job_header_bytes(const asynq_job *job, const char *key, size_t *length)
{
    for (size_t i = 0; i < job->message.header_count; i++)
        if (bytes_equal(job->message.headers[i].key, bytes_of(key)))
            return job_bytes(job->message.headers[i].value, length);
    return job_bytes((bytes){NULL, 0}, length);
}

const char *asynq_job_header(const asynq_job *job, const char *key)
{
    return asynq_job_header_bytes(job, key, NULL);
}

bool asynq_job_is_cancelled(const asynq_job *job)
{
    return job->cancelled;
}

/* Each thread waits for itself, so that cancelling a thousand jobs wakes a thousand threads, not a million times one.
 */
static void job_wait(asynq_job *job, const struct timespec *until)
{
    job_waiter own;
    thread_cond_init(&own.cancelled);
    pthread_mutex_lock(&job->port->lock);
    LL_PREPEND(job->waiters, &own);
    int problem = 0;
    while (!job->cancelled && !problem)
        problem = pthread_cond_timedwait(&own.cancelled, &job->port->lock, until);
    LL_DELETE(job->waiters, &own);
    pthread_mutex_unlock(&job->port->lock);
    pthread_cond_destroy(&own.cancelled);
}

asynq_cancel_reason asynq_job_cancel_reason(const asynq_job *job)
{
    return job->cancelled ? (asynq_cancel_reason)job->cancel_reason : ASYNQ_CANCEL_NONE;
}

bool asynq_job_wait_cancelled(asynq_job *job, int64_t timeout_ms)
{
    struct timespec until = thread_wait_end(timeout_ms);
    if (!job->cancelled)
        job_wait(job, &until);
    return job->cancelled;
}

void asynq_job_on_cancel(asynq_job *job, void (*cb)(asynq_job *job, void *arg), void *arg)
{
    pthread_mutex_lock(&job->port->lock);
    job->on_cancel = cb;
    job->on_cancel_arg = arg;
    if (cb && job->cancelled)
        cb(job, arg);
    pthread_mutex_unlock(&job->port->lock);
}

void asynq_job_set_code(asynq_job *job, int code)
{
    job->code = code;
}

int asynq_job_code(const asynq_job *job)
{
    return job->code;
}

const char *asynq_job_error(const asynq_job *job)
{
    return job->error_text.data ? job->error_text.data : "";
}

void asynq_job_set_data(asynq_job *job, void *data)
{
    job->data = data;
}

void *asynq_job_data(const asynq_job *job)
{
    return job->data;
}

static void fail_with(asynq_job *job, const char *format, va_list args)
{
    buf_clear(&job->error_text);
    job->error_text.failed = false;
    buf_append_formatv(&job->error_text, format, args);
    if (job->error_text.data) {
        text_make_utf8(job->error_text.data, job->error_text.length);
        job->error_text.length = text_cut(job->error_text.data, job->error_text.length, JOB_MAX_ERROR_TEXT);
        job->error_text.data[job->error_text.length] = '\0';
    }
}

/* Ends a function of a handler with its text, `format` being its last named parameter. */
#define END_WITH(job, outcome, format)                                                                                 \
    do {                                                                                                               \
        va_list args;                                                                                                  \
        va_start(args, format);                                                                                        \
        fail_with(job, format, args);                                                                                  \
        va_end(args);                                                                                                  \
        return outcome;                                                                                                \
    } while (0)

int asynq_fail(asynq_job *job, const char *format, ...)
{
    END_WITH(job, ASYNQ_OUTCOME_FAILED, format);
}

int asynq_skip_retry(asynq_job *job, const char *format, ...)
{
    END_WITH(job, ASYNQ_OUTCOME_SKIP_RETRY, format);
}

int asynq_revoke(asynq_job *job, const char *format, ...)
{
    END_WITH(job, ASYNQ_OUTCOME_REVOKED, format);
}

int asynq_retry_in(asynq_job *job, int64_t pause_ms, const char *format, ...)
{
    job->retry_in_ms = pause_ms > 0 ? pause_ms : 0;
    END_WITH(job, ASYNQ_OUTCOME_FAILED, format);
}

int asynq_retry_after(asynq_job *job, int64_t min_pause_ms, const char *format, ...)
{
    job->min_retry_in_ms = min_pause_ms;
    END_WITH(job, ASYNQ_OUTCOME_FAILED, format);
}

int asynq_snooze(asynq_job *job, int64_t pause_ms, const char *format, ...)
{
    job->retry_in_ms = pause_ms > 0 ? pause_ms : 0;
    END_WITH(job, ASYNQ_OUTCOME_SNOOZED, format);
}

int asynq_write_result(asynq_job *job, const void *data, size_t length)
{
    if (job->cancelled)
        return asynq_fail(job, "failed to write task result: context canceled");
    buf_clear(&job->result);
    job->result.failed = false;
    buf_append(&job->result, data, length);
    if (buf_failed(&job->result))
        return asynq_fail(job, "failed to write task result: out of memory");
    return ASYNQ_OUTCOME_DONE;
}
