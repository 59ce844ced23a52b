/* Waits for a task, and manages it by its id. */
#include <asynq/inspector.h>
#include <stdio.h>

int manage(asynq_inspector *inspector, const char *id, asynq_error *error)
{
    asynq_task_list list;
    int status = asynq_inspector_wait(inspector, "default", id, ASYNQ_SECONDS(10), &list, error);
    if (!status) {
        if (list.count)
            printf("%s: %s\n", asynq_state_name(list.tasks->state), (const char *)list.tasks->result);
        asynq_task_list_free(&list);
        return 0;
    }
    if (status != ASYNQ_E_TIMEOUT || asynq_inspector_task(inspector, "default", id, &list, error))
        return error->code;
    switch (list.tasks->state) {
    case ASYNQ_STATE_ACTIVE:
        status = asynq_inspector_cancel(inspector, id, error);
        break;
    case ASYNQ_STATE_SCHEDULED:
        status = asynq_inspector_update_payload(inspector, "default", id, "{}", 2, error);
        break;
    default:
        status = asynq_inspector_act(inspector, ASYNQ_ACTION_DELETE, "default", id, error);
    }
    asynq_task_list_free(&list);
    return status;
}
