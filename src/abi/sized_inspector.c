/* <asynq/inspector.h> and <asynq/fsck.h> for programs with structs of other sizes: see base/structs.h. */
#include "base/error.h"
#include "base/structs.h"
#include "inspect/inspect.h"

#include <asynq/fsck.h>

asynq_inspector *asynq_inspector_new_sized(const asynq_sizes *sizes, const asynq_inspector_options *options,
                                           asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    options = structs_argument(&call, STRUCT_INSPECTOR_OPTIONS, options, 1);
    int status = structs_status(&call, error);
    asynq_inspector *inspector = status ? NULL : asynq_inspector_new(options, error);
    structs_end(&call, status, error);
    return inspector;
}

/* ---- lists: their arrays are made anew in the memory that the program frees ---- */

static int sized_list_end(structs_call *call, int status, asynq_memory *memory, asynq_error *error)
{
    int end = structs_end_lasting(call, status, memory ? &memory->arena : NULL, error);
    if (end && !status)
        inspect_memory_free(memory);
    return end;
}

int asynq_inspector_queues_sized(const asynq_sizes *sizes, asynq_inspector *inspector, asynq_name_list *queues,
                                 asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_name_list *own = structs_result(&call, STRUCT_NAME_LIST, queues, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_queues(inspector, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

int asynq_inspector_groups_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue,
                                 asynq_group_list *groups, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_group_list *own = structs_result(&call, STRUCT_GROUP_LIST, groups, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_groups(inspector, queue, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

int asynq_inspector_servers_sized(const asynq_sizes *sizes, asynq_inspector *inspector, asynq_server_list *servers,
                                  asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_server_list *own = structs_result(&call, STRUCT_SERVER_LIST, servers, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_servers(inspector, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

int asynq_inspector_schedules_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                    asynq_schedule_list *schedules, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_schedule_list *own = structs_result(&call, STRUCT_SCHEDULE_LIST, schedules, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_schedules(inspector, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

int asynq_inspector_task_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue, const char *id,
                               asynq_task_list *list, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_task_list *own = structs_result(&call, STRUCT_TASK_LIST, list, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_task(inspector, queue, id, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

int asynq_inspector_wait_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue, const char *id,
                               int64_t timeout_ms, asynq_task_list *list, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_task_list *own = structs_result(&call, STRUCT_TASK_LIST, list, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_wait(inspector, queue, id, timeout_ms, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

int asynq_inspector_cluster_nodes_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue,
                                        asynq_cluster_node_list *list, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_cluster_node_list *own = structs_result(&call, STRUCT_CLUSTER_NODE_LIST, list, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_cluster_nodes(inspector, queue, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

int asynq_inspector_list_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const asynq_task_set *set,
                               const asynq_page *page, asynq_task_list *list, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    set = structs_argument(&call, STRUCT_TASK_SET, set, 1);
    page = structs_argument(&call, STRUCT_PAGE, page, 1);
    asynq_task_list *own = structs_result(&call, STRUCT_TASK_LIST, list, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_list(inspector, set, page, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

int asynq_inspector_schedule_events_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *entry_id,
                                          const asynq_page *page, asynq_schedule_event_list *events, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    page = structs_argument(&call, STRUCT_PAGE, page, 1);
    asynq_schedule_event_list *own = structs_result(&call, STRUCT_SCHEDULE_EVENT_LIST, events, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_schedule_events(inspector, entry_id, page, own, error);
    return sized_list_end(&call, status, status ? NULL : own->memory, error);
}

/* ---- other results ---- */

int asynq_inspector_queue_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue,
                                asynq_queue_info *info, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_queue_info *own = structs_result(&call, STRUCT_QUEUE_INFO, info, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_queue(inspector, queue, own, error);
    return structs_end(&call, status, error);
}

int asynq_inspector_metrics_sized(const asynq_sizes *sizes, asynq_inspector *inspector, asynq_text *metrics,
                                  asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_text *own = structs_result(&call, STRUCT_TEXT, metrics, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_metrics(inspector, own, error);
    return structs_end(&call, status, error);
}

int asynq_inspector_history_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue,
                                  asynq_day *days, size_t count, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_day *own = structs_result(&call, STRUCT_DAY, days, count);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_history(inspector, queue, own, count, error);
    return structs_end(&call, status, error);
}

int asynq_inspector_act_all_sized(const asynq_sizes *sizes, asynq_inspector *inspector, asynq_action action,
                                  const asynq_task_set *set, const asynq_walk_options *options,
                                  asynq_act_result *result, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    set = structs_argument(&call, STRUCT_TASK_SET, set, 1);
    options = structs_argument(&call, STRUCT_WALK_OPTIONS, options, 1);
    asynq_act_result *own = structs_result(&call, STRUCT_ACT_RESULT, result, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_act_all(inspector, action, set, options, own, error);
    return structs_end(&call, status, error);
}

int asynq_inspector_restore_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const asynq_task_info *task,
                                  asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    task = structs_argument(&call, STRUCT_TASK_INFO, task, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_restore(inspector, task, error);
    return structs_end(&call, status, error);
}

/* ---- visits ---- */

/* Shows what is found to the program; its function is one of those. */
typedef struct sized_visit {
    const asynq_sizes *sizes;
    asynq_task_cb task;
    asynq_finding_cb finding;
    asynq_quarantined_cb quarantined;
    void *arg;
    bool lacked_memory;
} sized_visit;

/* Begins to show; NULL: there is no memory, and the visit ends. */
static const void *sized_visit_begin(sized_visit *visit, structs_call *call, struct_kind kind, const void *own)
{
    structs_begin(call, visit->sizes);
    const void *shown = structs_shown(call, kind, own);
    visit->lacked_memory |= !shown;
    return shown;
}

static bool sized_task(const asynq_task_info *task, void *arg)
{
    sized_visit *visit = arg;
    structs_call call;
    const asynq_task_info *shown = sized_visit_begin(visit, &call, STRUCT_TASK_INFO, task);
    bool goes_on = shown && visit->task(shown, visit->arg);
    structs_end(&call, ASYNQ_OK, NULL);
    return goes_on;
}

static bool sized_finding(const asynq_finding *finding, void *arg)
{
    sized_visit *visit = arg;
    structs_call call;
    const asynq_finding *shown = sized_visit_begin(visit, &call, STRUCT_FINDING, finding);
    bool goes_on = shown && (!visit->finding || visit->finding(shown, visit->arg));
    structs_end(&call, ASYNQ_OK, NULL);
    return goes_on;
}

static bool sized_quarantined(const asynq_quarantined *entry, void *arg)
{
    sized_visit *visit = arg;
    structs_call call;
    const asynq_quarantined *shown = sized_visit_begin(visit, &call, STRUCT_QUARANTINED, entry);
    bool goes_on = shown && visit->quarantined(shown, visit->arg);
    structs_end(&call, ASYNQ_OK, NULL);
    return goes_on;
}

static int sized_visit_status(const sized_visit *visit, int status, asynq_error *error)
{
    return !status && visit->lacked_memory ? error_set_code(error, ASYNQ_E_NO_MEMORY) : status;
}

int asynq_inspector_each_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const asynq_task_set *set,
                               const asynq_walk_options *options, asynq_task_cb visit, void *arg, asynq_error *error)
{
    structs_call call;
    sized_visit own = {.sizes = sizes, .task = visit, .arg = arg};
    structs_begin(&call, sizes);
    set = structs_argument(&call, STRUCT_TASK_SET, set, 1);
    options = structs_argument(&call, STRUCT_WALK_OPTIONS, options, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_each(inspector, set, options, sized_task, &own, error);
    return structs_end(&call, sized_visit_status(&own, status, error), error);
}

int asynq_inspector_fsck_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const asynq_fsck_options *options,
                               asynq_finding_cb found, void *arg, asynq_fsck_result *result, asynq_error *error)
{
    structs_call call;
    sized_visit own = {.sizes = sizes, .finding = found, .arg = arg};
    structs_begin(&call, sizes);
    options = structs_argument(&call, STRUCT_FSCK_OPTIONS, options, 1);
    asynq_fsck_result *own_result = structs_result(&call, STRUCT_FSCK_RESULT, result, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_inspector_fsck(inspector, options, sized_finding, &own, own_result, error);
    return structs_end(&call, sized_visit_status(&own, status, error), error);
}

int asynq_inspector_quarantine_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue,
                                     asynq_quarantined_cb visit, void *arg, asynq_error *error)
{
    sized_visit own = {.sizes = sizes, .quarantined = visit, .arg = arg};
    int status = asynq_inspector_quarantine(inspector, queue, sized_quarantined, &own, error);
    return sized_visit_status(&own, status, error);
}
