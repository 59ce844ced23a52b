/* Prints the tasks that wait for a retry, a page of 30. */
#include <asynq/inspector.h>
#include <stdio.h>

int main(void)
{
    asynq_error error;
    asynq_inspector *inspector =
        asynq_inspector_new(&(asynq_inspector_options){.redis = "redis://127.0.0.1:6379"}, &error);
    asynq_task_set set = {.queue = "default", .state = ASYNQ_STATE_RETRY};
    asynq_task_list list;
    if (!inspector || asynq_inspector_list(inspector, &set, &(asynq_page){.number = 1}, &list, &error)) {
        fprintf(stderr, "%s\n", error.text);
        asynq_inspector_free(inspector);
        return 1;
    }
    for (size_t i = 0; i < list.count; i++)
        printf("%s %s: %s\n", list.tasks[i].id, list.tasks[i].type, list.tasks[i].last_error);
    asynq_task_list_free(&list);
    asynq_inspector_free(inspector);
    return 0;
}
