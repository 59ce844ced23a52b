/* The inspector, driven by tests. */
#include "peer.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static asynq_inspector *inspector;
static int64_t inspector_timeout_ms = 20000; /* as with the client */

static asynq_inspector *inspector_of_test(void)
{
    asynq_error error;
    if (!inspector)
        inspector = asynq_inspector_new(
            &(asynq_inspector_options){.redis = peer_redis, .timeout_ms = inspector_timeout_ms, .log = peer_log()},
            &error);
    if (!inspector)
        abort();
    return inspector;
}

static const char *text_of(json_t *arguments, const char *name)
{
    return json_string_value(json_object_get(arguments, name));
}

static int64_t number_of(json_t *arguments, const char *name)
{
    return json_integer_value(json_object_get(arguments, name));
}

static asynq_task_set set_of(json_t *arguments)
{
    asynq_task_set set = {.queue = text_of(arguments, "queue"), .group = text_of(arguments, "group")};
    const char *state = text_of(arguments, "state");
    if (state)
        asynq_state_from_name(state, &set.state);
    return set;
}

static asynq_page page_of(json_t *arguments)
{
    return (asynq_page){.number = number_of(arguments, "page"), .size = number_of(arguments, "size")};
}

static json_t *text_or_hex(const void *bytes, size_t length)
{
    json_t *text = json_stringn(bytes, length);
    return text ? text : json_string("(not UTF-8)");
}

static json_t *configure(json_t *arguments)
{
    inspector_timeout_ms = number_of(arguments, "timeout_ms");
    return peer_status(0, NULL);
}

/* ---- queues ---- */

static json_t *queues(json_t *arguments)
{
    (void)arguments;
    asynq_error error;
    asynq_name_list list;
    json_t *answer = peer_status(asynq_inspector_queues(inspector_of_test(), &list, &error), &error);
    json_t *names = json_array();
    for (size_t i = 0; i < list.count; i++)
        json_array_append_new(names, json_string(list.names[i]));
    json_object_set_new(answer, "queues", names);
    asynq_name_list_free(&list);
    return answer;
}

static json_t *queue(json_t *arguments)
{
    asynq_error error;
    asynq_queue_info info = {0};
    int status = asynq_inspector_queue(inspector_of_test(), text_of(arguments, "queue"), &info, &error);
    json_t *answer = peer_status(status, &error);
    json_t *found = json_pack(
        "{sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sb}", "size", (json_int_t)info.size, "pending",
        (json_int_t)info.pending, "active", (json_int_t)info.active, "scheduled", (json_int_t)info.scheduled, "retry",
        (json_int_t)info.retry, "archived", (json_int_t)info.archived, "completed", (json_int_t)info.completed,
        "aggregating", (json_int_t)info.aggregating, "groups", (json_int_t)info.groups, "processed",
        (json_int_t)info.processed, "failed", (json_int_t)info.failed, "processed_total",
        (json_int_t)info.processed_total, "failed_total", (json_int_t)info.failed_total, "latency_ms",
        (json_int_t)info.latency_ms, "memory_bytes", (json_int_t)info.memory_bytes, "paused", info.paused);
    json_object_set_new(answer, "info", found);
    return answer;
}

static json_t *history(json_t *arguments)
{
    asynq_error error;
    size_t count = (size_t)number_of(arguments, "days");
    asynq_day *days = calloc(count + 1, sizeof *days);
    int status = asynq_inspector_history(inspector_of_test(), text_of(arguments, "queue"), days, count, &error);
    json_t *answer = peer_status(status, &error), *list = json_array();
    for (size_t i = 0; !status && i < count; i++)
        json_array_append_new(list, json_pack("{ss sI sI}", "date", days[i].date, "processed",
                                              (json_int_t)days[i].processed, "failed", (json_int_t)days[i].failed));
    json_object_set_new(answer, "days", list);
    free(days);
    return answer;
}

static json_t *groups(json_t *arguments)
{
    asynq_error error;
    asynq_group_list list;
    json_t *answer =
        peer_status(asynq_inspector_groups(inspector_of_test(), text_of(arguments, "queue"), &list, &error), &error);
    json_t *found = json_object();
    for (size_t i = 0; i < list.count; i++)
        json_object_set_new(found, list.groups[i].name, json_integer(list.groups[i].size));
    json_object_set_new(answer, "groups", found);
    asynq_group_list_free(&list);
    return answer;
}

static json_t *pause_queue(json_t *arguments)
{
    asynq_error error;
    return peer_status(asynq_inspector_pause(inspector_of_test(), text_of(arguments, "queue"), &error), &error);
}

static json_t *unpause_queue(json_t *arguments)
{
    asynq_error error;
    return peer_status(asynq_inspector_unpause(inspector_of_test(), text_of(arguments, "queue"), &error), &error);
}

static json_t *delete_queue(json_t *arguments)
{
    asynq_error error;
    bool force = json_is_true(json_object_get(arguments, "force"));
    return peer_status(
        asynq_inspector_delete_queue(inspector_of_test(), text_of(arguments, "queue"), force, NULL, NULL, &error),
        &error);
}

/* ---- tasks ---- */

static json_t *task_to_json(const asynq_task_info *task)
{
    json_t *found =
        json_pack("{ss ss ss so sI si si ss sI sI sI sI sI ss ss ss sI sI sI sb sb so}", "id", task->id, "queue",
                  task->queue, "type", task->type, "payload", text_or_hex(task->payload, task->payload_length),
                  "headers", (json_int_t)task->header_count, "max_retry", task->max_retry, "retried", task->retried,
                  "last_error", task->last_error, "last_failed_at_ms", (json_int_t)task->last_failed_at_ms,
                  "timeout_ms", (json_int_t)task->timeout_ms, "deadline_ms", (json_int_t)task->deadline_ms,
                  "retention_ms", (json_int_t)task->retention_ms, "completed_at_ms", (json_int_t)task->completed_at_ms,
                  "unique_key", task->unique_key, "group", task->group, "state", asynq_state_name(task->state),
                  "next_process_at_ms", (json_int_t)task->next_process_at_ms, "since_ms", (json_int_t)task->since_ms,
                  "lease_ends_at_ms", (json_int_t)task->lease_ends_at_ms, "is_orphaned", task->is_orphaned,
                  "is_readable", task->is_readable, "result", text_or_hex(task->result, task->result_length));
    return found ? found : json_pack("{ss}", "id", "(not UTF-8)");
}

static json_t *tasks_answer(int status, asynq_task_list *list, const asynq_error *error)
{
    json_t *answer = peer_status(status, error), *tasks = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(tasks, task_to_json(&list->tasks[i]));
    json_object_set_new(answer, "tasks", tasks);
    asynq_task_list_free(list);
    return answer;
}

static json_t *list_tasks(json_t *arguments)
{
    asynq_error error;
    asynq_task_list list;
    asynq_task_set set = set_of(arguments);
    asynq_page page = page_of(arguments);
    int status = asynq_inspector_list(inspector_of_test(), &set, &page, &list, &error);
    return tasks_answer(status, &list, &error);
}

static json_t *get_task(json_t *arguments)
{
    asynq_error error;
    asynq_task_list list;
    int status =
        asynq_inspector_task(inspector_of_test(), text_of(arguments, "queue"), text_of(arguments, "id"), &list, &error);
    return tasks_answer(status, &list, &error);
}

static json_t *wait_task(json_t *arguments)
{
    asynq_error error;
    asynq_task_list list;
    int status = asynq_inspector_wait(inspector_of_test(), text_of(arguments, "queue"), text_of(arguments, "id"),
                                      number_of(arguments, "timeout_ms"), &list, &error);
    return tasks_answer(status, &list, &error);
}

static asynq_task_filter filter_of(json_t *arguments)
{
    return (asynq_task_filter){
        .type = text_of(arguments, "type"),
        .id = text_of(arguments, "id"),
        .error = text_of(arguments, "last_error"),
        .payload = text_of(arguments, "payload"),
        .from_ms = number_of(arguments, "from_ms"),
        .until_ms = number_of(arguments, "until_ms"),
    };
}

static bool append_id(const asynq_task_info *task, void *arg)
{
    json_array_append_new(arg, json_string(task->id));
    return true;
}

static json_t *find(json_t *arguments)
{
    asynq_error error;
    asynq_task_set set = set_of(arguments);
    asynq_task_filter filter = filter_of(arguments);
    json_t *ids = json_array();
    int status = asynq_inspector_each(inspector_of_test(), &set, &(asynq_walk_options){.filter = &filter}, append_id,
                                      ids, &error);
    json_t *answer = peer_status(status, &error);
    json_object_set_new(answer, "ids", ids);
    return answer;
}

static asynq_action action_of(json_t *arguments)
{
    const char *name = text_of(arguments, "action");
    return strcmp(name, "run") == 0       ? ASYNQ_ACTION_RUN
           : strcmp(name, "archive") == 0 ? ASYNQ_ACTION_ARCHIVE
                                          : ASYNQ_ACTION_DELETE;
}

static json_t *act(json_t *arguments)
{
    asynq_error error;
    return peer_status(asynq_inspector_act(inspector_of_test(), action_of(arguments), text_of(arguments, "queue"),
                                           text_of(arguments, "id"), &error),
                       &error);
}

static json_t *act_all(json_t *arguments)
{
    asynq_error error;
    asynq_act_result result;
    asynq_task_set set = set_of(arguments);
    asynq_task_filter filter = filter_of(arguments);
    bool is_filtered = json_is_true(json_object_get(arguments, "filter"));
    int status =
        asynq_inspector_act_all(inspector_of_test(), action_of(arguments), &set,
                                &(asynq_walk_options){.filter = is_filtered ? &filter : NULL}, &result, &error);
    json_t *answer = peer_status(status, &error);
    json_object_set_new(answer, "done", json_integer(result.done));
    json_object_set_new(answer, "dropped", json_integer(result.dropped));
    json_object_set_new(answer, "failed", json_integer(result.failed));
    return answer;
}

static json_t *update(json_t *arguments)
{
    asynq_error error;
    const char *payload = text_of(arguments, "payload");
    return peer_status(asynq_inspector_update_payload(inspector_of_test(), text_of(arguments, "queue"),
                                                      text_of(arguments, "id"), payload, strlen(payload), &error),
                       &error);
}

static json_t *cancel(json_t *arguments)
{
    asynq_error error;
    return peer_status(asynq_inspector_cancel(inspector_of_test(), text_of(arguments, "id"), &error), &error);
}

/* ---- servers and schedulers ---- */

static json_t *server_to_json(const asynq_server_info *server)
{
    json_t *served = json_object(), *workers = json_array();
    for (size_t i = 0; i < server->queue_count; i++)
        json_object_set_new(served, server->queues[i].name, json_integer(server->queues[i].priority));
    for (size_t i = 0; i < server->worker_count; i++) {
        const asynq_worker_info *worker = &server->workers[i];
        json_array_append_new(workers, json_pack("{ss ss ss so sI sI}", "task_id", worker->task_id, "task_type",
                                                 worker->task_type, "queue", worker->queue, "payload",
                                                 text_or_hex(worker->payload, worker->payload_length), "started_at_ms",
                                                 (json_int_t)worker->started_at_ms, "deadline_ms",
                                                 (json_int_t)worker->deadline_ms));
    }
    return json_pack("{ss ss ss si si si sb sI so so}", "id", server->id, "host", server->host, "status",
                     server->status, "pid", server->pid, "concurrency", server->concurrency, "active_workers",
                     server->active_workers, "strict_priority", server->strict_priority, "started_at_ms",
                     (json_int_t)server->started_at_ms, "queues", served, "workers", workers);
}

static json_t *servers(json_t *arguments)
{
    (void)arguments;
    asynq_error error;
    asynq_server_list list;
    json_t *answer = peer_status(asynq_inspector_servers(inspector_of_test(), &list, &error), &error);
    json_t *found = json_array();
    for (size_t i = 0; i < list.count; i++)
        json_array_append_new(found, server_to_json(&list.servers[i]));
    json_object_set_new(answer, "servers", found);
    asynq_server_list_free(&list);
    return answer;
}

static json_t *schedules(json_t *arguments)
{
    (void)arguments;
    asynq_error error;
    asynq_schedule_list list;
    json_t *answer = peer_status(asynq_inspector_schedules(inspector_of_test(), &list, &error), &error);
    json_t *found = json_array();
    for (size_t i = 0; i < list.count; i++) {
        const asynq_schedule_info *schedule = &list.schedules[i];
        json_t *options = json_array();
        for (size_t k = 0; k < schedule->option_count; k++)
            json_array_append_new(options, json_string(schedule->options[k]));
        json_array_append_new(found, json_pack("{ss ss ss so so sI sI}", "id", schedule->id, "spec", schedule->spec,
                                               "task_type", schedule->task_type, "payload",
                                               text_or_hex(schedule->payload, schedule->payload_length), "options",
                                               options, "next_at_ms", (json_int_t)schedule->next_at_ms,
                                               "previous_at_ms", (json_int_t)schedule->previous_at_ms));
    }
    json_object_set_new(answer, "schedules", found);
    asynq_schedule_list_free(&list);
    return answer;
}

static json_t *schedule_events(json_t *arguments)
{
    asynq_error error;
    asynq_schedule_event_list list;
    asynq_page page = page_of(arguments);
    int status = asynq_inspector_schedule_events(inspector_of_test(), text_of(arguments, "id"), &page, &list, &error);
    json_t *answer = peer_status(status, &error), *found = json_array();
    for (size_t i = 0; i < list.count; i++)
        json_array_append_new(
            found, json_pack("{ss sI}", "task_id", list.events[i].task_id, "at_ms", (json_int_t)list.events[i].at_ms));
    json_object_set_new(answer, "events", found);
    asynq_schedule_event_list_free(&list);
    return answer;
}

/* ---- without memory ---- */

static int fail_at, allocations;

static int allow(void)
{
    return ++allocations != fail_at;
}

static bool look(const asynq_task_info *task, void *arg)
{
    (void)arg;
    return task->id != NULL;
}

/* Most of what an inspector can do. Returns the first status that is not 0. */
static bool pass_quarantined(const asynq_quarantined *entry, void *arg)
{
    (void)entry, (void)arg;
    return true;
}

static int use_everything(asynq_inspector *tired)
{
    asynq_error error;
    asynq_name_list names;
    asynq_queue_info info;
    asynq_day days[3];
    asynq_group_list group_list = {0};
    asynq_task_list tasks = {0}, one = {0};
    asynq_server_list server_list = {0};
    asynq_schedule_list schedule_list = {0};
    const asynq_task_set set = {"default", ASYNQ_STATE_RETRY, NULL};
    const asynq_task_filter filter = {.type = "t"};
    int status = asynq_inspector_queues(tired, &names, &error);
    if (!status)
        asynq_name_list_free(&names);
    status = status ? status : asynq_inspector_queue(tired, "default", &info, &error);
    status = status ? status : asynq_inspector_history(tired, "default", days, 3, &error);
    status = status ? status : asynq_inspector_groups(tired, "default", &group_list, &error);
    status = status ? status : asynq_inspector_list(tired, &set, NULL, &tasks, &error);
    status = status ? status : asynq_inspector_task(tired, "default", "0", &one, &error);
    status = status ? status : asynq_inspector_each(tired, &set, NULL, look, NULL, &error);
    status = status ? status
                    : asynq_inspector_act_all(tired, ASYNQ_ACTION_ARCHIVE, &set,
                                              &(asynq_walk_options){.filter = &filter}, NULL, &error);
    status = status ? status : asynq_inspector_servers(tired, &server_list, &error);
    status = status ? status : asynq_inspector_schedules(tired, &schedule_list, &error);
    status = status ? status : asynq_inspector_fsck(tired, NULL, NULL, NULL, NULL, &error);
    status = status ? status : asynq_inspector_quarantine(tired, "default", pass_quarantined, NULL, &error);
    asynq_group_list_free(&group_list);
    asynq_task_list_free(&tasks);
    asynq_task_list_free(&one);
    asynq_server_list_free(&server_list);
    asynq_schedule_list_free(&schedule_list);
    return status;
}

/* Each allocation in turn fails. Answers how many there were, and a status that is neither 0 nor what is to be. */
static json_t *torture(json_t *arguments)
{
    (void)arguments;
    int odd = 0;
    for (fail_at = 1; allocations >= fail_at - 1 && !odd; fail_at++) {
        asynq_error error = {0};
        allocations = 0;
        mem_allow_hook = allow;
        asynq_inspector *tired =
            asynq_inspector_new(&(asynq_inspector_options){.redis = peer_redis, .timeout_ms = 3000}, &error);
        int status = tired ? use_everything(tired) : error.code;
        asynq_inspector_free(tired);
        mem_allow_hook = NULL;
        if (status && status != ASYNQ_E_NO_MEMORY && status != ASYNQ_E_OUTCOME_UNKNOWN)
            odd = status;
    }
    return json_pack("{si si si}", "status", odd, "allocations", allocations, "failed_at", fail_at - 1);
}

static json_t *close_inspector(json_t *arguments)
{
    (void)arguments;
    asynq_inspector_free(inspector);
    inspector = NULL;
    return peer_status(0, NULL);
}

int peer_inspector_in_child(void)
{
    asynq_error error;
    asynq_name_list list;
    bool is_right = asynq_inspector_queues(inspector, &list, &error) == ASYNQ_E_STATE;
    asynq_inspector_free(inspector);
    return !is_right;
}

const peer_row peer_inspect_rows[] = {
    {"inspect.options", configure},
    {"inspect.queues", queues},
    {"inspect.queue", queue},
    {"inspect.history", history},
    {"inspect.groups", groups},
    {"inspect.pause", pause_queue},
    {"inspect.unpause", unpause_queue},
    {"inspect.delete_queue", delete_queue},
    {"inspect.list", list_tasks},
    {"inspect.task", get_task},
    {"inspect.wait", wait_task},
    {"inspect.find", find},
    {"inspect.act", act},
    {"inspect.act_all", act_all},
    {"inspect.update", update},
    {"inspect.cancel", cancel},
    {"inspect.servers", servers},
    {"inspect.schedules", schedules},
    {"inspect.schedule_events", schedule_events},
    {"inspect.torture", torture},
    {"inspect.close", close_inspector},
    {NULL, NULL},
};
