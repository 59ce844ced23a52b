/* Writes metrics of all queues for Prometheus. */
#include <asynq/inspector.h>
#include <stdio.h>

int write_metrics(asynq_inspector *inspector, FILE *file, asynq_error *error)
{
    asynq_text metrics;
    if (asynq_inspector_metrics(inspector, &metrics, error))
        return error->code;
    fwrite(metrics.text, 1, metrics.length, file);
    asynq_text_free(&metrics);
    return 0;
}
