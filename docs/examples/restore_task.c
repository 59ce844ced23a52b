/* Moves a task to another Redis. */
#include <asynq/inspector.h>

int move(asynq_inspector *from, asynq_inspector *to, const char *id, asynq_error *error)
{
    asynq_task_list list;
    int status = asynq_inspector_task(from, "default", id, &list, error);
    if (status)
        return status;
    status = asynq_inspector_restore(to, list.tasks, error);
    if (!status)
        status = asynq_inspector_act(from, ASYNQ_ACTION_DELETE, "default", id, error);
    asynq_task_list_free(&list);
    return status;
}
