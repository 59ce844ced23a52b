/* Enqueues many tasks in few round trips, and reports each that was not created. */
#include <asynq/client.h>
#include <stdio.h>

enum { COUNT = 100 };

int enqueue_all(asynq_client *client, const asynq_task tasks[COUNT])
{
    asynq_error error;
    asynq_enqueued results[COUNT];
    asynq_task_options all = {.queue = "low"};
    if (asynq_client_ping(client, &error))
        fprintf(stderr, "Redis is slow or down: %s\n", error.text);
    if (!asynq_enqueue_batch(client, tasks, COUNT, &all, results, &error))
        return 0;
    for (int i = 0; i < COUNT; i++)
        if (asynq_status_is_retryable(results[i].error.code))
            fprintf(stderr, "task %d: %s\n", i, results[i].error.text);
    /* Once more, for two seconds at most. Those that were created are refused if they have ids. */
    return asynq_enqueue_within(client, tasks, COUNT, &all, ASYNQ_SECONDS(2), NULL, &error);
}
