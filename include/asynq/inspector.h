/*
 * Inspecting queues, tasks, servers and schedules, and managing them by hand.
 *
 *     asynq_inspector *inspector = asynq_inspector_new(&(asynq_inspector_options){ .redis = uri }, &error);
 *     asynq_task_list list;
 *     if (asynq_inspector_list(inspector, &(asynq_task_set){ "default", ASYNQ_STATE_RETRY }, NULL, &list, &error))
 *         fprintf(stderr, "%s\n", error.text);
 *     for (size_t i = 0; i < list.count; i++)
 *         printf("%s %s\n", list.tasks[i].id, list.tasks[i].last_error);
 *     asynq_task_list_free(&list);
 *
 * The calls mean what those of Go's Inspector mean; where they do more, or leave less behind, it is said. Each call
 * waits for Redis. A script typically holds Redis for less than a millisecond, with a million tasks for some
 * milliseconds at worst: what concerns many tasks is done in chunks, between which others have their turn.
 *
 * Thread: an inspector belongs to one thread at a time.
 *
 * Errors of all calls that return a status: 0, or ASYNQ_E_INVALID (an argument), ASYNQ_E_QUEUE_NOT_FOUND,
 * ASYNQ_E_TASK_NOT_FOUND, ASYNQ_E_TASK_ACTIVE, ASYNQ_E_ALREADY (a task is in that state already, or a queue paused),
 * ASYNQ_E_STATE (the task is in another state that does not allow it), ASYNQ_E_UNAVAILABLE (Redis
 * cannot be reached; nothing was changed), ASYNQ_E_OUTCOME_UNKNOWN (the connection was lost: a change may have been
 * made), ASYNQ_E_AUTH, ASYNQ_E_VERSION, ASYNQ_E_REDIS, ASYNQ_E_REDIS_FULL or ASYNQ_E_NO_MEMORY. `error` may be NULL.
 */
#ifndef ASYNQ_INSPECTOR_H
#define ASYNQ_INSPECTOR_H

#include <asynq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asynq_inspector asynq_inspector;

typedef struct asynq_inspector_options {
    const char *redis;  /* URI as for clients; default redis://127.0.0.1:6379 */
    int64_t timeout_ms; /* longest wait for an answer of Redis; default 10 s */
    asynq_log_cb log;   /* default: no log */
    void *log_arg;
    asynq_log_level log_level;
    const char *prefix; /* of all keys and channels, as for clients; default "asynq" */
} asynq_inspector_options;

/* Makes an inspector; Redis is contacted with the first call. NULL with `error` filled if an option is wrong. */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_inspector *asynq_inspector_new(const asynq_inspector_options *options,
                                                                  asynq_error *error);
/* Another time limit for the calls that follow, instead of that of the options; 0: that. Thread: that of its calls. */
ASYNQ_API void asynq_inspector_set_timeout(asynq_inspector *inspector, int64_t timeout_ms);
/* Accepts NULL. What was found stays valid. In a child of the process that made it, each call of the inspector returns
 * ASYNQ_E_STATE. */
ASYNQ_API void asynq_inspector_free(asynq_inspector *inspector);

/*
 * What a call found lives in a memory of its own, until the caller frees the list or text. The frees accept NULL, and
 * what was freed before or never filled, if it is all zero. After a call that failed there is nothing to be freed.
 * Thread: any.
 */
typedef struct asynq_memory asynq_memory;

/* ---- queues ---- */

typedef struct asynq_name_list {
    const char *const *names; /* sorted */
    size_t count;
    asynq_memory *memory;
} asynq_name_list;

/* See asynq_memory. */
ASYNQ_API void asynq_name_list_free(asynq_name_list *names);

ASYNQ_SIZED int asynq_inspector_queues(asynq_inspector *inspector, asynq_name_list *queues, asynq_error *error);

typedef struct asynq_queue_info {
    int64_t at_ms; /* when this was so; Unix time */
    int64_t size;  /* tasks in all states */
    int64_t pending, active, scheduled, retry, archived, completed;
    int64_t aggregating; /* waiting in groups; not those of `in_aggregation` */
    int64_t groups;
    int64_t processed, failed; /* attempts today (UTC) */
    int64_t processed_total, failed_total;
    int64_t latency_ms;   /* how long the next task has been pending; 0: unknown, or none */
    int64_t memory_bytes; /* in Redis, estimated from a few tasks of each state */
    bool paused;
    /*
     * Taken out of their groups by a server that aggregates them at this moment, or that was lost; then they are back
     * in their groups within two minutes. They are in none of the sets that asynq_inspector_list() and _each() know.
     */
    int64_t in_aggregation;
} asynq_queue_info;

ASYNQ_SIZED int asynq_inspector_queue(asynq_inspector *inspector, const char *queue, asynq_queue_info *info,
                                      asynq_error *error);

typedef struct asynq_text {
    const char *text; /* followed by a NUL byte */
    size_t length;
    asynq_memory *memory;
} asynq_text;

/* See asynq_memory. */
ASYNQ_API void asynq_text_free(asynq_text *text);

/*
 * All queues as metrics in the text format of Prometheus, under the names that asynq's x/metrics gives them:
 * asynq_queue_size{queue="low"} 7.
 */
ASYNQ_SIZED int asynq_inspector_metrics(asynq_inspector *inspector, asynq_text *metrics, asynq_error *error);

typedef struct asynq_day {
    char date[11];             /* "2006-01-02", UTC */
    int64_t processed, failed; /* attempts */
} asynq_day;

/* The last `count` days into `days`, today first. */
ASYNQ_SIZED int asynq_inspector_history(asynq_inspector *inspector, const char *queue, asynq_day *days, size_t count,
                                        asynq_error *error);

typedef struct asynq_group_info {
    const char *name;
    int64_t size;
} asynq_group_info;

typedef struct asynq_group_list {
    const asynq_group_info *groups; /* sorted by name */
    size_t count;
    asynq_memory *memory;
} asynq_group_list;

/* See asynq_memory. */
ASYNQ_API void asynq_group_list_free(asynq_group_list *groups);

/* An unknown queue has no groups; that is no error. */
ASYNQ_SIZED int asynq_inspector_groups(asynq_inspector *inspector, const char *queue, asynq_group_list *groups,
                                       asynq_error *error);

/*
 * Stops servers from taking tasks of a queue; what runs goes on. ASYNQ_E_ALREADY: it is paused (or not paused).
 * The queue need not exist.
 */
ASYNQ_API int asynq_inspector_pause(asynq_inspector *inspector, const char *queue, asynq_error *error);
ASYNQ_API int asynq_inspector_unpause(asynq_inspector *inspector, const char *queue, asynq_error *error);

/*
 * Told now and then during long work: how much is done of about how much. Return false to stop there; that is no error,
 * except that a queue then is not deleted.
 */
typedef bool (*asynq_progress_cb)(int64_t done, int64_t total, void *arg);

/*
 * Deletes a queue and everything that belongs to it: also completed tasks, groups, counters and the pause, which Go
 * leaves behind. ASYNQ_E_QUEUE_NOT_EMPTY: it has tasks other than completed ones, or something in quarantine (fsck.h),
 * and `force` is not set. ASYNQ_E_TASK_ACTIVE: it has active tasks. ASYNQ_E_STATE: `progress` has stopped it.
 */
ASYNQ_API int asynq_inspector_delete_queue(asynq_inspector *inspector, const char *queue, bool force,
                                           asynq_progress_cb progress, void *arg, asynq_error *error);

/* ---- tasks ---- */

/* Times are Unix time in ms; 0 means none, never, or unknown. */
typedef struct asynq_task_info {
    const char *id;
    const char *queue;
    const char *type; /* "" if the message cannot be read or is missing; then the fields up to `group` are empty, too */
    const void *payload; /* never NULL; NUL behind */
    size_t payload_length;
    const asynq_header *headers;
    size_t header_count;
    int32_t max_retry, retried;
    const char *last_error;
    int64_t last_failed_at_ms;
    int64_t timeout_ms, deadline_ms;
    int64_t retention_ms, completed_at_ms;
    const char *unique_key; /* name of the lock in Redis; "" if it has none */
    const char *group;
    asynq_state state;
    int64_t next_process_at_ms; /* pending: now; scheduled and retry: when it is due */
    int64_t since_ms;           /* pending, archived, aggregating: since when; completed: when it is deleted */
    int64_t lease_ends_at_ms;   /* active: a time in the past means that its server is gone */
    bool is_orphaned;           /* active, and its server is gone */
    bool is_readable;           /* false: the message is missing or malformed */
    const void *result;         /* never NULL; NUL behind */
    size_t result_length;
    double progress;               /* active, as the record of its server says: see asynq_worker_info */
    const char *progress_text;     /* never NULL */
    size_t id_length, type_length; /* whoever enqueues with Go can put NUL bytes into them */
} asynq_task_info;

/* "retry" and so on, as in Redis; "unknown" for what is none. Static storage. Thread: any. */
ASYNQ_API const char *asynq_state_name(asynq_state state);
/* The reverse. False: there is no such state. Thread: any. */
ASYNQ_API bool asynq_state_from_name(const char *name, asynq_state *state);

typedef struct asynq_task_list {
    const asynq_task_info *tasks;
    size_t count;
    asynq_memory *memory;
} asynq_task_list;

/* See asynq_memory. */
ASYNQ_API void asynq_task_list_free(asynq_task_list *tasks);

/*
 * The tasks of one state of a queue; of ASYNQ_STATE_AGGREGATING, those of one group.
 */
typedef struct asynq_task_set {
    const char *queue;
    asynq_state state;
    const char *group;
} asynq_task_set;

typedef struct asynq_page {
    int64_t number; /* from 1, the default */
    int64_t size;   /* default 30 */
} asynq_page;

/*
 * One page: pending and active tasks oldest first, the others by rising time (due time, time of archiving or joining,
 * end of retention). `page` may be NULL. Beyond the end is an empty list.
 */
ASYNQ_SIZED int asynq_inspector_list(asynq_inspector *inspector, const asynq_task_set *set, const asynq_page *page,
                                     asynq_task_list *list, asynq_error *error);

/* One task; `list` then holds one. */
ASYNQ_SIZED int asynq_inspector_task(asynq_inspector *inspector, const char *queue, const char *id,
                                     asynq_task_list *list, asynq_error *error);

/* Which tasks. Conditions that are NULL or 0 are not looked at; a task must meet all others. */
typedef struct asynq_task_filter {
    const char *type;    /* pattern of fnmatch(3): "email:*" */
    const char *id;      /* pattern */
    const char *error;   /* a part of the last error */
    const char *payload; /* a part of the payload */
    int64_t from_ms;     /* its time as of asynq_task_info: next_process_at_ms if it is due some day, else since_ms */
    int64_t until_ms;    /* before this */
} asynq_task_filter;     /* a task of which the time is not known meets no condition on it */

typedef struct asynq_walk_options {
    const asynq_task_filter *filter; /* NULL: all */
    asynq_progress_cb progress;      /* NULL: nobody is told */
    void *progress_arg;
    int64_t *passed_over; /* NULL, or becomes how many met the filter but for their time, which is not known */
} asynq_walk_options;

/* Receives a task; it is valid during the call. Return false to stop. */
typedef bool (*asynq_task_cb)(const asynq_task_info *task, void *arg);

/*
 * Visits all tasks of a set that meet the filter, in chunks and in constant memory. Those that stay in the set
 * meanwhile are visited; in a list into which others push at the same time a task may be visited twice. Pending and
 * active tasks come newest first, the others as in a page. `options` may be NULL.
 */
ASYNQ_SIZED int asynq_inspector_each(asynq_inspector *inspector, const asynq_task_set *set,
                                     const asynq_walk_options *options, asynq_task_cb visit, void *arg,
                                     asynq_error *error);

/* ---- steering ---- */

typedef enum asynq_action {
    ASYNQ_ACTION_RUN,     /* to pending, behind those that wait; from any state but active and pending */
    ASYNQ_ACTION_ARCHIVE, /* from any state but active and archived; an archive keeps its newest 9,999 tasks */
    ASYNQ_ACTION_DELETE   /* from any state but active; its lock is released */
} asynq_action;

ASYNQ_API int asynq_inspector_act(asynq_inspector *inspector, asynq_action action, const char *queue, const char *id,
                                  asynq_error *error);

typedef struct asynq_act_result {
    int64_t done;    /* tasks acted upon */
    int64_t dropped; /* ASYNQ_ACTION_ARCHIVE: tasks, old and new, that were deleted because the archive was full */
    int64_t failed;  /* tasks that could not be: gone meanwhile, or broken */
} asynq_act_result;

/*
 * Acts on the tasks that are in a set when it is called; `options` may be NULL. `result` also tells what was done when
 * an error stopped it. Unlike in Go, tasks dropped from a full archive leave nothing behind, and deleting pending and
 * grouped tasks releases their locks. After each step it rests as long as the step took, so that others have Redis for
 * half of the time.
 */
ASYNQ_SIZED int asynq_inspector_act_all(asynq_inspector *inspector, asynq_action action, const asynq_task_set *set,
                                        const asynq_walk_options *options, asynq_act_result *result,
                                        asynq_error *error);

/* Replaces the payload of a scheduled task. ASYNQ_E_STATE: it is not scheduled, or was changed at the same time. */
ASYNQ_API int asynq_inspector_update_payload(asynq_inspector *inspector, const char *queue, const char *id,
                                             const void *payload, size_t length, asynq_error *error);

/*
 * Writes a task as `task` describes it, such as one that asynq_inspector_task() told before. Its place follows from
 * `state` and next_process_at_ms (scheduled, retry) or since_ms (archived, completed, aggregating); an active task
 * becomes pending. A pending task goes before those that wait, so that tasks keep their order when they are restored in
 * the order of asynq_inspector_each(). The queue is made known. No lock is taken for unique_key. ASYNQ_E_CONFLICT: the
 * id exists in the queue, and nothing was written.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_inspector_restore(asynq_inspector *inspector, const asynq_task_info *task,
                                                         asynq_error *error);

/*
 * Asks the servers to cancel a running task, which then fails with "context canceled". Success says nothing about
 * whether any server runs it.
 */
ASYNQ_API int asynq_inspector_cancel(asynq_inspector *inspector, const char *id, asynq_error *error);

/*
 * Waits until a task has ended: completed, archived, or deleted (done without retention). In the last case `list` is
 * empty, else it holds the task with its result. ASYNQ_E_TIMEOUT: it had not ended by then; ASYNQ_E_TASK_NOT_FOUND: it
 * did not exist at the beginning.
 */
ASYNQ_SIZED int asynq_inspector_wait(asynq_inspector *inspector, const char *queue, const char *id, int64_t timeout_ms,
                                     asynq_task_list *list, asynq_error *error);

/* ---- servers ---- */

typedef struct asynq_queue_priority {
    const char *name;
    int32_t priority;
} asynq_queue_priority;

typedef struct asynq_worker_info {
    const char *task_id, *task_type, *queue;
    const void *payload;
    size_t payload_length;
    int64_t started_at_ms, deadline_ms;
    double progress;           /* 0 to 1, as its handler said by asynq_job_progress(); below 0: it did not say */
    const char *progress_text; /* likewise; "" */
} asynq_worker_info;

typedef struct asynq_server_info {
    const char *id, *host, *status;
    int32_t pid, concurrency, active_workers;
    bool strict_priority;
    int64_t started_at_ms;
    const asynq_queue_priority *queues; /* sorted by name */
    size_t queue_count;
    const asynq_worker_info *workers; /* running tasks, longest first */
    size_t worker_count;
} asynq_server_info;

typedef struct asynq_server_list {
    const asynq_server_info *servers; /* sorted by host and pid */
    size_t count;
    asynq_memory *memory;
} asynq_server_list;

/* See asynq_memory. */
ASYNQ_API void asynq_server_list_free(asynq_server_list *servers);

/* Servers, in C and in Go, whose last heartbeat is less than 10 s old. Forgets the records of others. */
ASYNQ_SIZED int asynq_inspector_servers(asynq_inspector *inspector, asynq_server_list *servers, asynq_error *error);

/*
 * Sends a text of up to ASYNQ_MESSAGE_MAX bytes to all servers of this library, whose on_message gets it. `*heard` is
 * how many are connected and got it, whatever they make of it; Go's servers do not.
 */
enum { ASYNQ_MESSAGE_MAX = 1000 };
ASYNQ_API int asynq_inspector_tell(asynq_inspector *inspector, const char *text, int *heard, asynq_error *error);

/* ---- schedulers ---- */

typedef struct asynq_schedule_info {
    const char *id, *spec, *task_type;
    const void *payload;
    size_t payload_length;
    const char *const *options; /* as texts: Queue("low"), MaxRetry(3) */
    size_t option_count;
    int64_t next_at_ms, previous_at_ms;
} asynq_schedule_info;

typedef struct asynq_schedule_list {
    const asynq_schedule_info *schedules; /* sorted by next_at_ms */
    size_t count;
    asynq_memory *memory;
} asynq_schedule_list;

/* See asynq_memory. */
ASYNQ_API void asynq_schedule_list_free(asynq_schedule_list *schedules);

ASYNQ_SIZED int asynq_inspector_schedules(asynq_inspector *inspector, asynq_schedule_list *schedules,
                                          asynq_error *error);

typedef struct asynq_schedule_event {
    const char *task_id;
    int64_t at_ms;
} asynq_schedule_event;

typedef struct asynq_schedule_event_list {
    const asynq_schedule_event *events; /* newest first */
    size_t count;
    asynq_memory *memory;
} asynq_schedule_event_list;

/* See asynq_memory. */
ASYNQ_API void asynq_schedule_event_list_free(asynq_schedule_event_list *events);

/* What an entry has enqueued. An unknown entry has enqueued nothing. `page` as above. */
ASYNQ_SIZED int asynq_inspector_schedule_events(asynq_inspector *inspector, const char *entry_id,
                                                const asynq_page *page, asynq_schedule_event_list *events,
                                                asynq_error *error);

/* ---- Redis Cluster ---- */

/* The hash slot of a queue's keys. The queue need not exist. ASYNQ_E_REDIS: Redis is no cluster. */
ASYNQ_API int asynq_inspector_key_slot(asynq_inspector *inspector, const char *queue, int *slot, asynq_error *error);

typedef struct asynq_cluster_node {
    const char *id;
    const char *address; /* "10.0.0.1:6379", as the nodes know each other */
} asynq_cluster_node;

typedef struct asynq_cluster_node_list {
    const asynq_cluster_node *nodes; /* the master first */
    size_t count;
    asynq_memory *memory;
} asynq_cluster_node_list;

/* See asynq_memory. */
ASYNQ_API void asynq_cluster_node_list_free(asynq_cluster_node_list *nodes);

/* The nodes that hold a queue's slot. ASYNQ_E_NOT_FOUND: none does. */
ASYNQ_SIZED int asynq_inspector_cluster_nodes(asynq_inspector *inspector, const char *queue,
                                              asynq_cluster_node_list *list, asynq_error *error);

/* ---- sizes: see sizes.h ---- */

/* clang-format off */
static const size_t asynq_inspector_sizes[] ASYNQ_UNUSED = {
    24,
    sizeof(asynq_inspector_options),
    sizeof(asynq_name_list),
    sizeof(asynq_queue_info),
    sizeof(asynq_text),
    sizeof(asynq_day),
    sizeof(asynq_group_info),
    sizeof(asynq_group_list),
    sizeof(asynq_task_info),
    sizeof(asynq_task_list),
    sizeof(asynq_task_set),
    sizeof(asynq_page),
    sizeof(asynq_task_filter),
    sizeof(asynq_walk_options),
    sizeof(asynq_act_result),
    sizeof(asynq_queue_priority),
    sizeof(asynq_worker_info),
    sizeof(asynq_server_info),
    sizeof(asynq_server_list),
    sizeof(asynq_schedule_info),
    sizeof(asynq_schedule_list),
    sizeof(asynq_schedule_event),
    sizeof(asynq_schedule_event_list),
    sizeof(asynq_cluster_node),
    sizeof(asynq_cluster_node_list),
};
/* clang-format on */
static const asynq_sizes asynq_sizes_of_inspector ASYNQ_UNUSED = {
    {asynq_client_sizes, NULL, NULL, asynq_inspector_sizes}};

ASYNQ_SIZED_API ASYNQ_MUST_CHECK asynq_inspector *
asynq_inspector_new_sized(const asynq_sizes *sizes, const asynq_inspector_options *options, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_queues_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                 asynq_name_list *queues, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_queue_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue,
                                                asynq_queue_info *info, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_metrics_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                  asynq_text *metrics, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_history_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                  const char *queue, asynq_day *days, size_t count, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_groups_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                 const char *queue, asynq_group_list *groups, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_list_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                               const asynq_task_set *set, const asynq_page *page, asynq_task_list *list,
                                               asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_task_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue,
                                               const char *id, asynq_task_list *list, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_each_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                               const asynq_task_set *set, const asynq_walk_options *options,
                                               asynq_task_cb visit, void *arg, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_act_all_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                  asynq_action action, const asynq_task_set *set,
                                                  const asynq_walk_options *options, asynq_act_result *result,
                                                  asynq_error *error);
ASYNQ_SIZED_API ASYNQ_MUST_CHECK int asynq_inspector_restore_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                                   const asynq_task_info *task, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_wait_sized(const asynq_sizes *sizes, asynq_inspector *inspector, const char *queue,
                                               const char *id, int64_t timeout_ms, asynq_task_list *list,
                                               asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_servers_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                  asynq_server_list *servers, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_schedules_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                    asynq_schedule_list *schedules, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_schedule_events_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                          const char *entry_id, const asynq_page *page,
                                                          asynq_schedule_event_list *events, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_cluster_nodes_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                        const char *queue, asynq_cluster_node_list *list,
                                                        asynq_error *error);

#ifndef ASYNQ_OWN_STRUCTS
#define asynq_inspector_new(...) asynq_inspector_new_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_queues(...) asynq_inspector_queues_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_queue(...) asynq_inspector_queue_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_metrics(...) asynq_inspector_metrics_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_history(...) asynq_inspector_history_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_groups(...) asynq_inspector_groups_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_list(...) asynq_inspector_list_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_task(...) asynq_inspector_task_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_each(...) asynq_inspector_each_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_act_all(...) asynq_inspector_act_all_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_restore(...) asynq_inspector_restore_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_wait(...) asynq_inspector_wait_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_servers(...) asynq_inspector_servers_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_schedules(...) asynq_inspector_schedules_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_schedule_events(...)                                                                           \
    asynq_inspector_schedule_events_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#define asynq_inspector_cluster_nodes(...) asynq_inspector_cluster_nodes_sized(&asynq_sizes_of_inspector, __VA_ARGS__)
#endif

#ifdef __cplusplus
}
#endif

#endif
