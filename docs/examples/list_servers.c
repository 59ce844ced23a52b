/* Prints running servers and their tasks, and asks them to reopen their logs. */
#include <asynq/inspector.h>
#include <stdio.h>

int list_servers(asynq_inspector *inspector, asynq_error *error)
{
    asynq_server_list list;
    if (asynq_inspector_servers(inspector, &list, error))
        return error->code;
    for (size_t i = 0; i < list.count; i++) {
        const asynq_server_info *server = &list.servers[i];
        printf("%s, process %d: %d of %d\n", server->host, (int)server->pid, (int)server->active_workers,
               (int)server->concurrency);
        for (size_t j = 0; j < server->queue_count; j++)
            printf("  serves %s with %d\n", server->queues[j].name, (int)server->queues[j].priority);
        for (size_t j = 0; j < server->worker_count; j++)
            printf("  runs %s\n", server->workers[j].task_id);
    }
    asynq_server_list_free(&list);
    int heard;
    int status = asynq_inspector_tell(inspector, "reopen logs", &heard, error); /* to on_message of each */
    if (!status)
        printf("%d servers have got it\n", heard);
    return status;
}
