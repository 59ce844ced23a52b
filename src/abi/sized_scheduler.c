/* <asynq/scheduler.h> for programs with structs of other sizes: see base/structs.h. */
#include "base/structs.h"
#include "schedule/scheduler.h"

int asynq_periodic_list_add_sized(const asynq_sizes *sizes, asynq_periodic_list *list, const asynq_periodic *entry,
                                  asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    entry = structs_argument(&call, STRUCT_PERIODIC, entry, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_periodic_list_add(list, entry, error);
    return structs_end(&call, status, error);
}

asynq_scheduler *asynq_scheduler_new_sized(const asynq_sizes *sizes, const asynq_scheduler_options *options,
                                           asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    options = structs_argument(&call, STRUCT_SCHEDULER_OPTIONS, options, 1);
    int status = structs_status(&call, error);
    asynq_scheduler *scheduler = status ? NULL : asynq_scheduler_new(options, error);
    if (scheduler)
        scheduler->sizes = sizes;
    structs_end(&call, status, error);
    return scheduler;
}

int asynq_scheduler_register_sized(const asynq_sizes *sizes, asynq_scheduler *scheduler, const asynq_periodic *entry,
                                   char id[ASYNQ_ENTRY_ID_SIZE], asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    entry = structs_argument(&call, STRUCT_PERIODIC, entry, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_scheduler_register(scheduler, entry, id, error);
    return structs_end(&call, status, error);
}
