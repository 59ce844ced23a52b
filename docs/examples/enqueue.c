/* Enqueues a task for a queue of its own, to be run in ten minutes. */
#include <asynq/asynq.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    asynq_error error;
    asynq_client *client = asynq_client_new(&(asynq_client_options){.redis = "redis://127.0.0.1:6379"}, &error);
    if (!client) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    const char *payload = "{\"user\": 7}";
    asynq_header trace = {.key = "trace", .value = "4bf92f35"};
    asynq_task task = {.type = "email:send", .payload = payload, .payload_length = strlen(payload)};
    asynq_task_options options = {.queue = "critical",
                                  .process_in_ms = ASYNQ_MINUTES(10),
                                  .timeout_ms = ASYNQ_SECONDS(30),
                                  .retention_ms = ASYNQ_HOURS(24),
                                  .max_retry = ASYNQ_NONE,
                                  .headers = &trace,
                                  .header_count = 1};
    asynq_enqueued result;
    int status = asynq_enqueue(client, &task, &options, &result, &error);
    if (status == ASYNQ_E_DUPLICATE || status == ASYNQ_E_CONFLICT)
        printf("it is there already\n");
    else if (status)
        fprintf(stderr, "%s: %s\n", asynq_status_name(status), error.text);
    else
        printf("%s is %s\n", result.id, asynq_state_name(result.state));
    asynq_client_free(client);
    return status != 0;
}
