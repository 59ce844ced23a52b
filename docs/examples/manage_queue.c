/* Pauses a queue, looks at its groups, and resumes or deletes it. */
#include <asynq/inspector.h>
#include <stdio.h>

int manage(asynq_inspector *inspector, const char *queue, bool is_obsolete, asynq_error *error)
{
    asynq_group_list groups;
    int status = asynq_inspector_pause(inspector, queue, error);
    if (status && status != ASYNQ_E_ALREADY)
        return status;
    if (asynq_inspector_groups(inspector, queue, &groups, error))
        return error->code;
    for (size_t i = 0; i < groups.count; i++)
        printf("%s: %lld tasks\n", groups.groups[i].name, (long long)groups.groups[i].size);
    asynq_group_list_free(&groups);
    return is_obsolete ? asynq_inspector_delete_queue(inspector, queue, true, NULL, NULL, error)
                       : asynq_inspector_unpause(inspector, queue, error);
}
