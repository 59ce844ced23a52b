/* Makes one email of all notices of a group. */
#include <asynq/server.h>
#include <stdio.h>

static int one_email(asynq_aggregation *aggregation, void *arg)
{
    (void)arg;
    char text[10000];
    size_t length = 0;
    printf("%zu tasks of %s\n", asynq_aggregation_count(aggregation), asynq_aggregation_queue(aggregation));
    for (size_t i = 0; i < asynq_aggregation_count(aggregation); i++) {
        const asynq_task *notice = asynq_aggregation_task(aggregation, i);
        int written = snprintf(text + length, sizeof text - length, "%.*s\n", (int)notice->payload_length,
                               (const char *)notice->payload);
        if (written < 0 || (size_t)written >= sizeof text - length)
            break;
        length += (size_t)written;
    }
    asynq_error error;
    asynq_task email = {.type = "email:notices", .payload = text, .payload_length = length};
    email.options.id = asynq_aggregation_group(aggregation);
    return asynq_aggregate_into(aggregation, &email, &error) ? ASYNQ_OUTCOME_FAILED : ASYNQ_OUTCOME_DONE;
}

const asynq_server_options options = {
    .aggregate = one_email, .group_grace_period_ms = ASYNQ_MINUTES(2), .group_max_size = 50};
