/* See attempts.h. */
#include "daemon/attempts.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/saturate.h"
#include "daemon/counters.h"
#include "daemon/meters.h"
#include "handler/output.h"
#include "pg/jobs.h"
#include "wire/task_id.h"

#include <stdio.h>
#include <string.h>

/* The second part of a traceparent, "00-<trace>-<span>-<flags>"; "" if there is none. `text` holds 33 bytes. */
static const char *trace_of(const asynq_job *job, char *text)
{
    const char *parent = asynq_job_header(job, "traceparent");
    text[0] = '\0';
    if (parent && strlen(parent) >= 55 && parent[2] == '-' && parent[35] == '-') {
        memcpy(text, parent + 3, 32);
        text[32] = '\0';
    }
    return text;
}

/* "": it did not fail. The server ends an attempt at its deadline, whatever its handler would say. */
static const char *attempts_class_of(const asynq_attempt *attempt, const attempt_note *note)
{
    const char *told = note ? note->error_class : NULL;
    if (strcmp(attempt->error, "context deadline exceeded") == 0)
        return "timeout";
    return told ? told : "";
}

static asynq_log_level attempts_level_of(asynq_attempt_end end)
{
    switch (end) {
    case ASYNQ_ATTEMPT_RETRIED:
    case ASYNQ_ATTEMPT_REQUEUED:
    case ASYNQ_ATTEMPT_LOST:
        return ASYNQ_LOG_WARN;
    case ASYNQ_ATTEMPT_ARCHIVED:
        return ASYNQ_LOG_ERROR;
    default:
        return ASYNQ_LOG_INFO;
    }
}

/* Clocks are set, and those of two machines differ: a negative time would only be read as nonsense. */
static int64_t ms_between(int64_t from_ms, int64_t to_ms)
{
    int64_t ms = saturating_sub(to_ms, from_ms);
    return ms > 0 ? ms : 0;
}

static void log_attempt(logger *log, const asynq_attempt *attempt, attempt_note *note)
{
    const asynq_job *job = attempt->job;
    char trace[33], text[32];
    const char *outcome = asynq_attempt_end_name(attempt->end);
    log_field fields[] = {
        {.name = "outcome", .text = outcome},
        {.name = "task", .text = asynq_job_id(job)},
        {.name = "queue", .text = asynq_job_queue(job)},
        {.name = "type", .text = asynq_job_type(job)},
        {.name = "attempt", .number = asynq_job_retry_count(job) + 1},
        {.name = "max_retry", .number = asynq_job_max_retry(job)},
        {.name = "duration_ms", .number = ms_between(attempt->started_at_ms, attempt->ended_at_ms)},
        {.name = "wait_ms", .number = ms_between(attempt->pending_since_ms, attempt->started_at_ms)},
        {.name = "next_in_ms", .number = ms_between(attempt->ended_at_ms, attempt->next_at_ms)},
        {.name = "error_class", .text = attempts_class_of(attempt, note)},
        {.name = "http_status", .number = note ? note->http_status : 0},
        {.name = "result", .text = note && note->is_cut ? "cut" : ""},
        {.name = "trace_id", .text = trace_of(job, trace)},
        {.name = "error", .text = attempt->error},
    };
    enum { WAIT = 7, NEXT = 8, STATUS = 10 };
    if (!attempt->pending_since_ms)
        fields[WAIT].text = "";
    if (!attempt->next_at_ms)
        fields[NEXT].text = "";
    if (!fields[STATUS].number)
        fields[STATUS].text = "";
    snprintf(text, sizeof text, "attempt %s", outcome);
    logger_write(log, attempts_level_of(attempt->end), text, fields, sizeof fields / sizeof *fields);
}

/* ---- the history ---- */

/* The attempt was of no use, and something may be wrong with the task or its program. */
static bool is_failure(asynq_attempt_end end)
{
    return end == ASYNQ_ATTEMPT_RETRIED || end == ASYNQ_ATTEMPT_ARCHIVED || end == ASYNQ_ATTEMPT_LOST;
}

/* `attempt` has the end; NULL: it begins. */
static void record(history *to, const asynq_job *job, const attempt_note *note, const asynq_attempt *attempt)
{
    char trace[33];
    execution row = {
        .id = note->execution,
        .task_id = asynq_job_id(job),
        .queue = asynq_job_queue(job),
        .type = asynq_job_type(job),
        .job_id = asynq_job_header(job, PG_JOB_HEADER),
        .attempt = asynq_job_retry_count(job) + 1,
        .started_at_ms = note->started_at_ms,
        .trace_id = trace_of(job, trace),
    };
    buf output;
    buf_init(&output, 0);
    if (attempt) {
        attempt_output_append(note, is_failure(attempt->end), &output);
        row.output = output.data;
        row.queued_at_ms = attempt->pending_since_ms;
        row.finished_at_ms = attempt->ended_at_ms;
        row.outcome = asynq_attempt_end_name(attempt->end);
        row.error_class = attempts_class_of(attempt, note);
        row.error = attempt->error;
        row.http_status = note->http_status;
    }
    history_record(to, &row);
    buf_clear(&output);
}

void attempt_started(asynq_job *job, void *arg)
{
    attempts *own = arg;
    attempt_note *note = mem_calloc(1, sizeof *note);
    asynq_job_set_data(job, note);
    if (!note)
        return;
    note->refs = 1;
    if (!own->history)
        return;
    task_id_make_random(note->execution);
    note->started_at_ms = clock_now_ns() / NS_PER_MS;
    record(own->history, job, note, NULL);
}

/* ---- metrics ---- */

/* By routes, not by types: who enqueues could invent any number of those. */
static void count_attempt(const attempts *own, const asynq_attempt *attempt, attempt_note *note)
{
    const char *pattern = asynq_mux_match(own->mux, asynq_job_type(attempt->job));
    const char *error_class = attempts_class_of(attempt, note);
    const char *labels[METRIC_MAX_LABELS] = {asynq_job_queue(attempt->job), *pattern ? pattern : COUNTERS_NO_ROUTE,
                                             asynq_attempt_end_name(attempt->end)};
    metrics_add(own->meters, METER_ATTEMPTS, labels, 1);
    metrics_observe(own->meters, METER_RUN, labels,
                    (double)ms_between(attempt->started_at_ms, attempt->ended_at_ms) / MS_PER_SECOND);
    if (attempt->pending_since_ms && attempt->started_at_ms >= attempt->pending_since_ms)
        metrics_observe(own->meters, METER_WAIT, labels,
                        (double)(attempt->started_at_ms - attempt->pending_since_ms) / MS_PER_SECOND);
    if (attempt->end != ASYNQ_ATTEMPT_RETRIED && attempt->end != ASYNQ_ATTEMPT_ARCHIVED)
        return;
    labels[2] = *error_class ? error_class : "other";
    metrics_add(own->meters, METER_FAILURES, labels, 1);
}

void attempt_ended(const asynq_attempt *attempt, void *arg)
{
    attempts *own = arg;
    attempt_note *note = asynq_job_data(attempt->job);
    count_attempt(own, attempt, note);
    if (own->is_logged)
        log_attempt(own->log, attempt, note);
    if (note && *note->execution)
        record(own->history, attempt->job, note, attempt);
    attempt_note_unref(note);
}
