/* Enqueues tasks without waiting, and waits once at the end. */
#include <asynq/client.h>
#include <stdio.h>

static void enqueued(const asynq_enqueued *result, void *arg)
{
    (void)arg;
    if (result->error.code)
        fprintf(stderr, "not enqueued: %s\n", result->error.text);
}

int enqueue_events(asynq_client *client, int count)
{
    asynq_error error;
    for (int i = 0; i < count; i++) {
        asynq_task task = {.type = "event:store", .payload = &i, .payload_length = sizeof i};
        if (asynq_enqueue_async(client, &task, NULL, enqueued, NULL, &error) == ASYNQ_E_BUSY)
            asynq_client_flush(client); /* too much is waiting */
    }
    return asynq_client_flush_within(client, ASYNQ_SECONDS(5), &error);
}
