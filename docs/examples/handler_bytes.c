/* A handler that copies all of a job: ids, types and headers may have NUL bytes in them. */
#include <asynq/server.h>
#include <stdio.h>

int show(asynq_job *job, void *arg)
{
    FILE *out = arg;
    size_t length;
    const char *id = asynq_job_id_bytes(job, &length);
    fwrite(id, 1, length, out);
    const char *type = asynq_job_type_bytes(job, &length);
    fwrite(type, 1, length, out);
    for (size_t i = 0; i < asynq_job_header_count(job); i++)
        fprintf(out, "\n%s: %s", asynq_job_header_key(job, i), asynq_job_header_value(job, i));
    const char *trace = asynq_job_header_bytes(job, "trace", &length);
    if (trace)
        fwrite(trace, 1, length, out);
    asynq_job_wait_cancelled(job, ASYNQ_SECONDS(1)); /* sleeps, unless it is cancelled */
    return ASYNQ_OUTCOME_DONE;
}
