/* Commands whose replies are awaited, in the order of sending. Thread: loop. */
#ifndef REDIS_PIPELINE_H
#define REDIS_PIPELINE_H

#include "redis/answer.h"
#include "redis/stream.h"

typedef struct pipeline_command pipeline_command;

typedef struct redis_pipeline {
    pipeline_command *first, **end;
} redis_pipeline;

void redis_pipeline_init(redis_pipeline *pipeline);

/* Queues a command on the stream, its reply for `cb` (may be NULL). Returns 0 or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int redis_pipeline_add(redis_pipeline *pipeline, redis_stream *stream, int count,
                                        const char *const *argv, const size_t *lengths, redis_result_cb cb, void *arg);

static inline bool redis_pipeline_is_empty(const redis_pipeline *pipeline)
{
    return !pipeline->first;
}

/* Takes the command that the next reply belongs to; NULL: there is none. */
pipeline_command *redis_pipeline_take(redis_pipeline *pipeline);
/* Tells the caller, and frees. */
void redis_pipeline_finish(pipeline_command *command, const redis_result *result);

/* The stream is closed: each command has not run, or nobody knows. */
void redis_pipeline_fail(redis_pipeline *pipeline, const redis_stream *stream, const char *reason);

#endif
