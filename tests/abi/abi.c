/*
 * A program that uses every struct of the library: arrays, members, results and callbacks. It is built with the headers
 * as they are and, with GROWN, with a member more at the end of each struct (tests/abi/grow-headers); and each of the
 * two runs with a library of the other kind. usage: abi REDIS_URI; prints the first thing that is wrong and exits 1.
 */
#include <asynq/asynq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef GROWN
#define GROWN_IS_ZERO(value) ((value).grown == 0)
#else
#define GROWN_IS_ZERO(value) true
#endif

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s: %s\n", __LINE__, #condition, error.text);                                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A result between two walls, full of what was there before. */
#define ROOM(type, count)                                                                                              \
    struct {                                                                                                           \
        int64_t before;                                                                                                \
        type it[count];                                                                                                \
        int64_t behind;                                                                                                \
    }
#define FILL(room) memset(&(room), 0x55, sizeof(room))
#define IS_WHOLE(room) ((room).before == 0x5555555555555555 && (room).behind == 0x5555555555555555)

static asynq_error error;
static const char *redis;
static volatile int handled, ended, seen;

/* ---- client ---- */

static void enqueued_later(const asynq_enqueued *result, void *arg)
{
    MUST(!result->error.code && strcmp(result->id, arg) == 0 && result->max_retry == 3 && GROWN_IS_ZERO(*result));
    seen++;
}

static void use_client(void)
{
    const asynq_header headers[] = {{.key = "k1", .value = "v1"}, {.key = "k2", .value = "v2"}};
    const asynq_task tasks[] = {
        {.type = "t:one", .payload = "1", .payload_length = 1, .options = {.queue = "low", .id = "id-1"}},
        {.type = "t:two",
         .payload = "22",
         .payload_length = 2,
         .options = {.id = "id-2", .headers = headers, .header_count = 2}},
        {.type = "t:three", .options = {.queue = "low", .id = "id-3", .process_in_ms = ASYNQ_HOURS(1), .max_retry = 7}},
    };
    ROOM(asynq_enqueued, 3) results;
    asynq_client *client = asynq_client_new(&(asynq_client_options){.redis = redis, .timeout_ms = 5000}, &error);
    MUST(client != NULL);
    FILL(results);
    MUST(asynq_enqueue_batch(client, tasks, 3, &(asynq_task_options){.max_retry = 3}, results.it, &error) == 0);
    MUST(IS_WHOLE(results));
    MUST(strcmp(results.it[1].id, "id-2") == 0 && strcmp(results.it[2].id, "id-3") == 0);
    MUST(results.it[2].state == ASYNQ_STATE_SCHEDULED && results.it[2].max_retry == 3 && GROWN_IS_ZERO(results.it[2]));
    FILL(results);
    MUST(asynq_enqueue(client, &tasks[0], NULL, results.it, &error) == ASYNQ_E_CONFLICT);
    MUST(results.before == results.it[2].next_process_at_ms); /* the others are as they were */
    MUST(asynq_enqueue_async(client, &(asynq_task){.type = "t:later"},
                             &(asynq_task_options){.id = "id-4", .max_retry = 3}, enqueued_later, (char[]){"id-4"},
                             &error) == 0);
    asynq_client_flush(client);
    MUST(seen == 1);
#ifdef GROWN
    asynq_task task = {.type = "t:new", .options.grown = 1};
    MUST(asynq_enqueue(client, &task, NULL, NULL, &error) == ASYNQ_E_INVALID &&
         strstr(error.text, "asynq_task_options"));
    MUST(!asynq_client_new(&(asynq_client_options){.grown = 1}, &error) && strstr(error.text, "asynq_client_options"));
    MUST(!asynq_server_new(&(asynq_server_options){.grown = 1}, &error) && strstr(error.text, "asynq_server_options"));
    MUST(!asynq_inspector_new(&(asynq_inspector_options){.grown = 1}, &error) && strstr(error.text, "asynq_inspector"));
    MUST(!asynq_scheduler_new(&(asynq_scheduler_options){.grown = 1}, &error) && strstr(error.text, "asynq_scheduler"));
    MUST(!asynq_semaphore_new(&(asynq_semaphore_options){.scope = "s", .tokens = 1, .grown = 1}, &error));
#endif
    asynq_client_free(client);
}

/* ---- server ---- */

static int handle(asynq_job *job, void *arg)
{
    MUST(strcmp(arg, asynq_job_type(job)) == 0);
    if (asynq_job_header_count(job) == 2)
        MUST(strcmp(asynq_job_header_key(job, 1), "k2") == 0 && strcmp(asynq_job_header(job, "k1"), "v1") == 0);
    handled++;
    return strcmp(arg, "t:two") == 0 ? asynq_fail(job, "two fails") : ASYNQ_OUTCOME_DONE;
}

static void end(const asynq_attempt *attempt, void *arg)
{
    MUST(arg == &ended && attempt->started_at_ms <= attempt->ended_at_ms && GROWN_IS_ZERO(*attempt));
    if (strcmp(asynq_job_type(attempt->job), "t:two") == 0)
        MUST(attempt->end == ASYNQ_ATTEMPT_RETRIED && strcmp(attempt->error, "two fails") == 0 &&
             attempt->next_at_ms > 0);
    ended++;
}

static int aggregate(asynq_aggregation *aggregation, void *arg)
{
    (void)arg;
    const asynq_task *last = asynq_aggregation_task(aggregation, asynq_aggregation_count(aggregation) - 1);
    MUST(GROWN_IS_ZERO(*last) && strcmp(last->type, "t:part") == 0);
    const asynq_task whole = {.type = "t:whole", .options.id = "id-whole"};
    return asynq_aggregate_into(aggregation, &whole, &error) ? ASYNQ_OUTCOME_FAILED : ASYNQ_OUTCOME_DONE;
}

static void use_server(void)
{
    const asynq_queue queues[] = {{.name = "default", .priority = 2}, {.name = "low", .priority = 1}, {0}};
    const asynq_retry_policy slow = {ASYNQ_RETRY_CONSTANT, .delay_ms = ASYNQ_HOURS(1)};
    const asynq_route routes[] = {{.pattern = "t:one", .handler = handle, .arg = (char[]){"t:one"}},
                                  {.pattern = "t:two",
                                   .handler = handle,
                                   .arg = (char[]){"t:two"},
                                   .retry = slow,
                                   .limit = {.scope = "s", .max = 2}},
                                  {0}};
    asynq_server_options options = {.redis = redis,
                                    .queues = queues,
                                    .routes = routes,
                                    .on_end = end,
                                    .arg = (void *)(uintptr_t)&ended,
                                    .aggregate = aggregate,
                                    .group_max_size = 2};
    asynq_server *server = asynq_server_new(&options, &error);
    ROOM(asynq_server_stats, 1) stats;
    const asynq_route later = {.pattern = "t:later", .handler = handle, .arg = (char[]){"t:later"}};
    const asynq_route whole = {.pattern = "t:whole", .handler = handle, .arg = (char[]){"t:whole"}};
    MUST(server && asynq_server_handle(server, &later, &error) == 0 &&
         asynq_server_handle(server, &whole, &error) == 0);
    MUST(asynq_server_start(server, &error) == 0);
    for (int i = 0; i < 1000 && ended < 4; i++)
        usleep(10000);
    MUST(handled == 4 && ended == 4);
    FILL(stats);
    asynq_server_get_stats(server, stats.it);
    MUST(IS_WHOLE(stats) && stats.it->is_connected && stats.it->last_heartbeat_ms > 0 && GROWN_IS_ZERO(*stats.it));
    asynq_server_free(server);
}

/* ---- scheduler ---- */

static void fill_defaults(const char *type, asynq_task_options *options, void *arg)
{
    (void)arg;
    MUST(strcmp(type, "t:tick") == 0 && GROWN_IS_ZERO(*options));
    options->retention_ms = ASYNQ_HOURS(2);
}

static void tell_enqueued(const char *id, const asynq_periodic *entry, const asynq_enqueued *result, void *arg)
{
    (void)id, (void)arg;
    MUST(result->error.code == 0 && result->retention_ms == ASYNQ_HOURS(2) && GROWN_IS_ZERO(*result));
    MUST(strcmp(entry->name, "every") == 0 && strcmp(entry->task.options.group, "parts") == 0);
    MUST(strcmp(entry->options->queue, "low") == 0 && GROWN_IS_ZERO(*entry) && GROWN_IS_ZERO(entry->task));
    seen++;
}

static int provide(asynq_periodic_list *list, void *arg, asynq_error *problem)
{
    (void)arg;
    const asynq_periodic daily = {.spec = "@daily", .task = {.type = "t:tick"}, .name = "provided"};
    return asynq_periodic_list_add(list, &daily, problem);
}

static void use_scheduler(void)
{
    const asynq_task_options low = {.queue = "low"};
    const asynq_periodic every = {.spec = "@every 1s",
                                  .task = {.type = "t:tick", .options = {.group = "parts"}},
                                  .options = &low,
                                  .name = "every"};
    asynq_scheduler *scheduler = asynq_scheduler_new(
        &(asynq_scheduler_options){
            .redis = redis, .post_enqueue = tell_enqueued, .provide = provide, .defaults = fill_defaults},
        &error);
    seen = 0;
    MUST(scheduler && asynq_scheduler_register(scheduler, &every, NULL, &error) == 0);
    MUST(asynq_scheduler_start(scheduler, &error) == 0);
    for (int i = 0; i < 1000 && !seen; i++)
        usleep(10000);
    MUST(seen > 0);
    asynq_scheduler_free(scheduler);
}

/* ---- inspector ---- */

static bool visit(const asynq_task_info *task, void *arg)
{
    (void)arg;
    MUST(GROWN_IS_ZERO(*task));
    seen += strcmp(task->id, "id-2") == 0 && strcmp(task->headers[1].value, "v2") == 0;
    return true;
}

static bool find(const asynq_finding *finding, void *arg)
{
    (void)arg;
    MUST(GROWN_IS_ZERO(*finding) && *finding->key);
    return true;
}

static void use_lists(asynq_inspector *inspector)
{
    ROOM(asynq_name_list, 1) names;
    ROOM(asynq_task_list, 1) tasks;
    ROOM(asynq_group_list, 1) groups;
    FILL(names);
    FILL(tasks);
    FILL(groups);
    MUST(asynq_inspector_queues(inspector, names.it, &error) == 0 && IS_WHOLE(names));
    MUST(names.it->count == 2 && strcmp(names.it->names[1], "low") == 0 && GROWN_IS_ZERO(*names.it));
    const asynq_task_set retried = {.queue = "default", .state = ASYNQ_STATE_RETRY};
    MUST(asynq_inspector_list(inspector, &retried, &(asynq_page){.number = 1, .size = 10}, tasks.it, &error) == 0);
    MUST(IS_WHOLE(tasks) && tasks.it->count == 1 && strcmp(tasks.it->tasks[0].last_error, "two fails") == 0);
    MUST(tasks.it->tasks[0].header_count == 2 && strcmp(tasks.it->tasks[0].headers[1].value, "v2") == 0);
    MUST(GROWN_IS_ZERO(tasks.it->tasks[0].headers[1]) && GROWN_IS_ZERO(tasks.it->tasks[0]));
    MUST(asynq_inspector_groups(inspector, "low", groups.it, &error) == 0 && IS_WHOLE(groups));
    MUST(groups.it->count == 1 && groups.it->groups[0].size >= 1);
    asynq_name_list_free(names.it);
    asynq_task_list_free(tasks.it);
    asynq_group_list_free(groups.it);
}

static void use_results(asynq_inspector *inspector)
{
    ROOM(asynq_queue_info, 1) info;
    ROOM(asynq_day, 5) days;
    ROOM(asynq_text, 1) text;
    ROOM(asynq_act_result, 1) acted;
    ROOM(asynq_fsck_result, 1) checked;
    FILL(info);
    FILL(days);
    FILL(text);
    FILL(acted);
    FILL(checked);
    MUST(asynq_inspector_queue(inspector, "default", info.it, &error) == 0 && IS_WHOLE(info));
    MUST(info.it->retry == 1 && info.it->in_aggregation == 0 && GROWN_IS_ZERO(*info.it));
    MUST(asynq_inspector_history(inspector, "default", days.it, 5, &error) == 0 && IS_WHOLE(days));
    MUST(days.it[0].failed == 1 && strlen(days.it[4].date) == 10 && GROWN_IS_ZERO(days.it[4]));
    MUST(asynq_inspector_metrics(inspector, text.it, &error) == 0 && IS_WHOLE(text) &&
         text.it->length == strlen(text.it->text));
    asynq_text_free(text.it);
    const asynq_task_filter two = {.type = "t:t*", .error = "fails"};
    const asynq_task_set retried = {.queue = "default", .state = ASYNQ_STATE_RETRY};
    seen = 0;
    MUST(asynq_inspector_each(inspector, &retried, &(asynq_walk_options){.filter = &two}, visit, NULL, &error) == 0);
    MUST(seen == 1);
    MUST(asynq_inspector_act_all(inspector, ASYNQ_ACTION_ARCHIVE, &retried, &(asynq_walk_options){.filter = &two},
                                 acted.it, &error) == 0);
    MUST(IS_WHOLE(acted) && acted.it->done == 1 && acted.it->failed == 0);
    MUST(asynq_inspector_fsck(inspector, &(asynq_fsck_options){.queue = "low"}, find, NULL, checked.it, &error) == 0);
    MUST(IS_WHOLE(checked) && checked.it->tasks > 0);
}

static void use_records(asynq_inspector *inspector)
{
    ROOM(asynq_server_list, 1) servers;
    ROOM(asynq_schedule_list, 1) schedules;
    ROOM(asynq_task_list, 1) task;
    FILL(servers);
    FILL(schedules);
    FILL(task);
    asynq_server *server = asynq_server_new(&(asynq_server_options){.redis = redis, .concurrency = 3}, &error);
    const asynq_route route = {.pattern = "none", .handler = handle};
    MUST(server && asynq_server_handle(server, &route, &error) == 0 && asynq_server_start(server, &error) == 0);
    for (int i = 0; i < 500; i++) {
        MUST(asynq_inspector_servers(inspector, servers.it, &error) == 0 && IS_WHOLE(servers));
        if (servers.it->count)
            break;
        asynq_server_list_free(servers.it);
        usleep(10000);
    }
    MUST(servers.it->count == 1 && servers.it->servers[0].concurrency == 3 && GROWN_IS_ZERO(servers.it->servers[0]));
    MUST(strcmp(servers.it->servers[0].queues[0].name, "default") == 0 && servers.it->servers[0].queue_count == 1);
    asynq_server_list_free(servers.it);
    asynq_server_free(server);
    MUST(asynq_inspector_schedules(inspector, schedules.it, &error) == 0 && IS_WHOLE(schedules));
    asynq_schedule_list_free(schedules.it);
    MUST(asynq_inspector_task(inspector, "default", "id-2", task.it, &error) == 0 && IS_WHOLE(task));
    MUST(asynq_inspector_act(inspector, ASYNQ_ACTION_DELETE, "default", "id-2", &error) == 0);
    MUST(asynq_inspector_restore(inspector, task.it->tasks, &error) == 0);
    asynq_task_list_free(task.it);
    MUST(asynq_inspector_task(inspector, "default", "id-2", task.it, &error) == 0);
    MUST(task.it->tasks->state == ASYNQ_STATE_ARCHIVED && strcmp(task.it->tasks->headers[0].key, "k1") == 0);
    asynq_task_list_free(task.it);
}

static void use_groups(void)
{
    asynq_client *client = asynq_client_new(&(asynq_client_options){.redis = redis}, &error);
    const asynq_task part = {.type = "t:part", .options = {.group = "g"}};
    MUST(client && asynq_enqueue(client, &part, NULL, NULL, &error) == 0 &&
         asynq_enqueue(client, &part, NULL, NULL, &error) == 0);
    asynq_client_free(client);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    redis = argv[1];
    use_client();
    use_groups();
    use_server();
    use_scheduler();
    asynq_inspector *inspector = asynq_inspector_new(&(asynq_inspector_options){.redis = redis}, &error);
    MUST(inspector != NULL);
    use_lists(inspector);
    use_results(inspector);
    use_records(inspector);
    asynq_inspector_free(inspector);
    puts("every struct is understood");
    return 0;
}
