/* See hooks.h: those on the loop. */
#include "server/hooks.h"

#include "base/structs.h"
#include "server/server.h"

asynq_failure hook_failure(const asynq_job *job, int outcome, const char *error)
{
    return (asynq_failure){.job = job,
                           .outcome = outcome,
                           .code = job->result_is_ours ? job->code : 0,
                           .cancel_reason = asynq_job_cancel_reason(job),
                           .retry_count = job->message.retried,
                           .error = error};
}

/* A failure as the program has it, until the end of the call. */
static const asynq_failure *hook_show(const asynq_server *server, const asynq_failure *failure, structs_call *call)
{
    structs_begin(call, server->sizes);
    return structs_shown_or_own(call, STRUCT_FAILURE, failure);
}

void hook_error(asynq_server *server, const asynq_failure *failure)
{
    structs_call call;
    const asynq_failure *shown = hook_show(server, failure, &call);
    if (server->options.on_error)
        server->options.on_error(shown, server->options.arg);
    (void)structs_end(&call, ASYNQ_OK, NULL);
    report_failure(server, failure);
}

bool hook_is_failure(asynq_server *server, const asynq_failure *failure)
{
    structs_call call;
    const asynq_failure *shown = hook_show(server, failure, &call);
    bool is_failure = !server->options.is_failure || server->options.is_failure(shown, server->options.arg);
    (void)structs_end(&call, ASYNQ_OK, NULL);
    return is_failure;
}

int64_t hook_retry_delay_ms(asynq_server *server, const asynq_failure *failure)
{
    structs_call call;
    if (!server->options.retry_delay_ms)
        return -1;
    int64_t delay_ms = server->options.retry_delay_ms(hook_show(server, failure, &call), server->options.arg);
    (void)structs_end(&call, ASYNQ_OK, NULL);
    return delay_ms > 0 ? delay_ms : 0;
}

void hook_end(asynq_server *server, const asynq_attempt *attempt)
{
    structs_call call;
    structs_begin(&call, server->sizes);
    const asynq_attempt *shown = structs_shown_or_own(&call, STRUCT_ATTEMPT, attempt);
    if (server->options.on_end)
        server->options.on_end(shown, server->options.arg);
    (void)structs_end(&call, ASYNQ_OK, NULL);
    report_attempt(server, attempt);
}
