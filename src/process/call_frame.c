/* See call_frame.h. */
#include "process/call_frame.h"

#include "handler/output.h"

static const frame_pair *call_frame_headers_of(const asynq_job *job, frame_pair *pairs, size_t *count)
{
    *count = asynq_job_header_count(job) < FRAME_MAX_HEADERS ? asynq_job_header_count(job) : FRAME_MAX_HEADERS;
    for (size_t i = 0; i < *count; i++)
        pairs[i] = (frame_pair){bytes_of(asynq_job_header_key(job, i)), bytes_of(asynq_job_header_value(job, i))};
    return pairs;
}

void call_frame_make(const handler_call *call, int64_t number, frame_pair pairs[FRAME_MAX_HEADERS], frame *f)
{
    const asynq_job *job = call->job;
    *f = (frame){
        .type = FRAME_TASK,
        .call = number,
        .id = bytes_of(asynq_job_id(job)),
        .task_type = bytes_of(asynq_job_type(job)),
        .queue = bytes_of(asynq_job_queue(job)),
        .retried = asynq_job_retry_count(job),
        .max_retry = asynq_job_max_retry(job),
        .deadline_ms = asynq_job_deadline_ms(job),
    };
    f->payload.data = asynq_job_payload(job, &f->payload.length);
    f->headers = call_frame_headers_of(job, pairs, &f->header_count);
}

static void end_with_result(handler_call *call, const frame *f, size_t max)
{
    int outcome = ASYNQ_OUTCOME_DONE;
    if (f->result.length > max)
        handler_note(call)->is_cut = true;
    if (f->result.data)
        outcome = asynq_write_result(call->job, f->result.data, f->result.length < max ? f->result.length : max);
    handler_end(call, outcome);
}

/* "ValueError: what it says" */
static void append_reason(handler_call *call, const frame *f, buf *text)
{
    char output[8192];
    if (f->name.length)
        buf_append_format(text, "%.*s: ", BYTES_ARGS(f->name));
    buf_append(text, f->text.data, f->text.length);
    if (f->failure != FAILURE_REVOKE && f->failure != FAILURE_SNOOZE && handler_keeps_output(call))
        buf_append_text(text, attempt_output_complaint(call, output, sizeof output));
}

static void end_with_error(handler_call *call, const frame *f)
{
    buf text;
    buf_init(&text, 0);
    append_reason(call, f, &text);
    const char *reason = text.data ? text.data : "the worker gave no reason";
    int64_t pause_ms = f->retry_in_ms > 0 ? f->retry_in_ms : -1;
    if (f->failure == FAILURE_REVOKE)
        handler_end(call, asynq_revoke(call->job, "%s", reason));
    else if (f->failure == FAILURE_SNOOZE)
        handler_end(call, asynq_snooze(call->job, pause_ms < 0 ? 0 : pause_ms, "%s", reason));
    else
        handler_fail(call, f->failure == FAILURE_PERMANENT ? HANDLER_PERMANENT : HANDLER_RETRY, "worker_error",
                     pause_ms, "%s", reason);
    buf_clear(&text);
}

void call_frame_end(handler_call *call, const frame *f, size_t max_result)
{
    if (f->type == FRAME_RESULT)
        end_with_result(call, f, max_result);
    else
        end_with_error(call, f);
}
