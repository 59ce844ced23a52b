/* See pipeline.h. */
#include "redis/pipeline.h"

#include "base/alloc.h"

struct pipeline_command {
    pipeline_command *next;
    redis_result_cb cb;
    void *arg;
    uint64_t end; /* where the command ends in the stream of sent bytes */
};

void redis_pipeline_init(redis_pipeline *pipeline)
{
    pipeline->first = NULL;
    pipeline->end = &pipeline->first;
}

int redis_pipeline_add(redis_pipeline *pipeline, redis_stream *stream, int count, const char *const *argv,
                       const size_t *lengths, redis_result_cb cb, void *arg)
{
    pipeline_command *command = mem_alloc(sizeof *command);
    uint64_t end = command ? redis_stream_queue(stream, count, argv, lengths) : 0;
    if (!end) {
        mem_free(command);
        return ASYNQ_E_NO_MEMORY;
    }
    *command = (pipeline_command){NULL, cb, arg, end};
    *pipeline->end = command;
    pipeline->end = &command->next;
    return ASYNQ_OK;
}

pipeline_command *redis_pipeline_take(redis_pipeline *pipeline)
{
    pipeline_command *command = pipeline->first;
    if (!command)
        return NULL;
    pipeline->first = command->next;
    if (!pipeline->first)
        pipeline->end = &pipeline->first;
    return command;
}

void redis_pipeline_finish(pipeline_command *command, const redis_result *result)
{
    if (command->cb)
        command->cb(command->arg, result);
    mem_free(command);
}

void redis_pipeline_fail(redis_pipeline *pipeline, const redis_stream *stream, const char *reason)
{
    pipeline_command *list = pipeline->first;
    redis_pipeline_init(pipeline); /* a callback may end the connection */
    while (list) {
        pipeline_command *command = list;
        list = command->next;
        /* Redis runs a command only when it has all of it. */
        redis_outcome outcome = redis_stream_has_sent(stream, command->end) ? REDIS_UNKNOWN : REDIS_NOT_RUN;
        redis_pipeline_finish(command, &(redis_result){.outcome = outcome, .reason = reason});
    }
}
