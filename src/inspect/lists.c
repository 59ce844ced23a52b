/* Freeing what calls have found. */
#include "inspect/inspect.h"

/*
 * Of each list only what all versions have at its beginning is touched: the list may be that of a program built against
 * another header.
 */
#define LIST_FREE(type, array)                                                                                         \
    void type##_free(type *list)                                                                                       \
    {                                                                                                                  \
        if (!list)                                                                                                     \
            return;                                                                                                    \
        inspect_memory_free(list->memory);                                                                             \
        list->array = NULL;                                                                                            \
        list->count = 0;                                                                                               \
        list->memory = NULL;                                                                                           \
    }

LIST_FREE(asynq_name_list, names)
LIST_FREE(asynq_group_list, groups)
LIST_FREE(asynq_task_list, tasks)
LIST_FREE(asynq_server_list, servers)
LIST_FREE(asynq_schedule_list, schedules)
LIST_FREE(asynq_schedule_event_list, events)
LIST_FREE(asynq_cluster_node_list, nodes)

void asynq_text_free(asynq_text *text)
{
    if (!text)
        return;
    inspect_memory_free(text->memory);
    text->text = NULL;
    text->length = 0;
    text->memory = NULL;
}
