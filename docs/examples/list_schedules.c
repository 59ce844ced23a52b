/* Prints the entries of running schedulers, and what each has enqueued last. */
#include <asynq/inspector.h>
#include <stdio.h>

int list_schedules(asynq_inspector *inspector, asynq_error *error)
{
    asynq_schedule_list list;
    if (asynq_inspector_schedules(inspector, &list, error))
        return error->code;
    for (size_t i = 0; i < list.count; i++) {
        const asynq_schedule_info *entry = &list.schedules[i];
        asynq_schedule_event_list events;
        printf("%s %s\n", entry->spec, entry->task_type);
        if (asynq_inspector_schedule_events(inspector, entry->id, &(asynq_page){.size = 5}, &events, error))
            continue;
        for (size_t j = 0; j < events.count; j++)
            printf("  %s\n", events.events[j].task_id);
        asynq_schedule_event_list_free(&events);
    }
    asynq_schedule_list_free(&list);
    return 0;
}
