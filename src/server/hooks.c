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

/* A failure as the program has it. */
static const asynq_failure *hook_show(structs_room *room, const asynq_server *server, const asynq_failure *failure)
{
    return structs_shown_in(room, server->sizes, STRUCT_FAILURE, failure);
}

void hook_error(asynq_server *server, const asynq_failure *failure)
{
    structs_room room;
    if (server->options.on_error)
        server->options.on_error(hook_show(&room, server, failure), server->options.arg);
    report_failure(server, failure);
}

bool hook_is_failure(asynq_server *server, const asynq_failure *failure)
{
    structs_room room;
    return !server->options.is_failure ||
           server->options.is_failure(hook_show(&room, server, failure), server->options.arg);
}

int64_t hook_retry_delay_ms(asynq_server *server, const asynq_failure *failure)
{
    structs_room room;
    if (!server->options.retry_delay_ms)
        return -1;
    int64_t delay_ms = server->options.retry_delay_ms(hook_show(&room, server, failure), server->options.arg);
    return delay_ms > 0 ? delay_ms : 0;
}

void hook_end(asynq_server *server, const asynq_attempt *attempt)
{
    structs_room room;
    if (server->options.on_end)
        server->options.on_end(structs_shown_in(&room, server->sizes, STRUCT_ATTEMPT, attempt), server->options.arg);
    report_attempt(server, attempt);
}
