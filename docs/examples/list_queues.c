/* Prints all queues, with what they hold and what they did today and yesterday. */
#include <asynq/inspector.h>
#include <stdio.h>

int list_queues(asynq_inspector *inspector, asynq_error *error)
{
    asynq_name_list queues;
    if (asynq_inspector_queues(inspector, &queues, error))
        return error->code;
    for (size_t i = 0; i < queues.count; i++) {
        asynq_queue_info info;
        asynq_day days[2];
        if (asynq_inspector_queue(inspector, queues.names[i], &info, error) ||
            asynq_inspector_history(inspector, queues.names[i], days, 2, error))
            continue; /* deleted meanwhile */
        printf("%s%s: %lld pending, %lld active, %lld failed on %s\n", queues.names[i], info.paused ? " (paused)" : "",
               (long long)info.pending, (long long)info.active, (long long)days[1].failed, days[1].date);
    }
    asynq_name_list_free(&queues);
    return 0;
}
