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
 * `error` may be NULL. What is said below about threads and errors holds for each call; more errors are at the calls.
 *
 * Thread: that of the inspector, which belongs to one thread at a time; the call blocks until Redis has answered.
 *
 * Errors of all calls: ASYNQ_E_INVALID (an argument is wrong), ASYNQ_E_UNAVAILABLE (nothing was changed),
 * ASYNQ_E_OUTCOME_UNKNOWN (a change may have been made), ASYNQ_E_AUTH, ASYNQ_E_VERSION, ASYNQ_E_REDIS,
 * ASYNQ_E_REDIS_FULL, ASYNQ_E_NO_MEMORY, ASYNQ_E_MALFORMED (what is in Redis cannot be read), ASYNQ_E_STATE (in a child
 * of a fork).
 */
#ifndef ASYNQ_INSPECTOR_H
#define ASYNQ_INSPECTOR_H

#include <asynq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An inspector: lists, searches and manages queues, tasks, servers and schedules in Redis. It has one connection and
 * belongs to one thread at a time.
 */
typedef struct asynq_inspector asynq_inspector;

/* Options of an inspector. Zero means the default. */
typedef struct asynq_inspector_options {
    const char *redis;         /* URI as for clients; default redis://127.0.0.1:6379 */
    int64_t timeout_ms;        /* maximum wait for an answer of Redis, in milliseconds; default 10 s */
    asynq_log_cb log;          /* default: no log */
    void *log_arg;             /* for `log` */
    asynq_log_level log_level; /* the lowest level that is logged */
    const char *prefix;        /* of all keys and channels, as for clients; default "asynq" */
} asynq_inspector_options;

/*
 * Makes an inspector, which lists and manages queues, tasks, servers and schedules. Redis is contacted with the first
 * call. `options` is copied; NULL means all defaults. Returns an inspector that asynq_inspector_free() frees, or NULL
 * after filling `error`: ASYNQ_E_INVALID (an option is wrong) or ASYNQ_E_NO_MEMORY. Thread: any.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK asynq_inspector *asynq_inspector_new(const asynq_inspector_options *options,
                                                                  asynq_error *error);

/*
 * Sets the time limit of the next calls of an inspector. In milliseconds, instead of that of the options; 0:
 * that of the options again. Thread: that of the inspector.
 */
ASYNQ_API void asynq_inspector_set_timeout(asynq_inspector *inspector, int64_t timeout_ms);

/*
 * Frees an inspector. What its calls have filled stays valid. Accepts NULL. In a child of the process that made it,
 * each call of the inspector returns ASYNQ_E_STATE. Thread: that of the inspector.
 */
ASYNQ_API void asynq_inspector_free(asynq_inspector *inspector);

/*
 * The memory of what a call of an inspector has filled. Each list and text has one of its own, until the caller frees
 * it, as by asynq_task_list_free(). These calls accept NULL, what was freed before, and what was never filled, if it is
 * all zero. After a call that failed there is nothing to be freed.
 */
typedef struct asynq_memory asynq_memory;

/* ---- queues ---- */

/* A list of names, such as that of all queues. Freed by asynq_name_list_free(). */
typedef struct asynq_name_list {
    const char *const *names; /* sorted */
    size_t count;
    asynq_memory *memory; /* of the library */
} asynq_name_list;

/* Frees a list of names that a call of an inspector has filled. Accepts NULL, and what is all zero or was freed before.
 * Thread: any. */
ASYNQ_API void asynq_name_list_free(asynq_name_list *names);

/* Lists the names of all queues. Fills `queues`, which the caller frees. Returns 0 or an error. */
ASYNQ_SIZED int asynq_inspector_queues(asynq_inspector *inspector, asynq_name_list *queues, asynq_error *error);

/* What a queue holds: how many tasks it has in each state, and what was processed. Nothing has to be freed. */
typedef struct asynq_queue_info {
    int64_t at_ms; /* the moment at which this was so; Unix time in ms */
    int64_t size;  /* tasks in all states */
    int64_t pending, active, scheduled, retry, archived, completed; /* tasks in each state */
    int64_t aggregating;                   /* waiting in groups; not those of `in_aggregation` */
    int64_t groups;                        /* groups that have tasks */
    int64_t processed, failed;             /* attempts that ended today (UTC), and those of them that failed */
    int64_t processed_total, failed_total; /* the same since the queue was created */
    int64_t latency_ms;   /* how long the next task has been pending, in milliseconds; 0: unknown, or none */
    int64_t memory_bytes; /* in Redis, estimated from a few tasks of each state */
    bool paused;          /* by asynq_inspector_pause() or an operator */
    /*
     * Taken out of their groups by a server that aggregates them at this moment, or that was lost; then they are back
     * in their groups within two minutes. They are in none of the sets that asynq_inspector_list() and
     * asynq_inspector_each() know.
     */
    int64_t in_aggregation;
} asynq_queue_info;

/*
 * Reads what a queue holds: how many tasks it has in each state, its latency, memory and daily counters. Fills `info`.
 * Returns 0 or an error: ASYNQ_E_QUEUE_NOT_FOUND.
 */
ASYNQ_SIZED int asynq_inspector_queue(asynq_inspector *inspector, const char *queue, asynq_queue_info *info,
                                      asynq_error *error);

/* A text that a call of an inspector has filled. Freed by asynq_text_free(). */
typedef struct asynq_text {
    const char *text; /* a NUL byte follows */
    size_t length;
    asynq_memory *memory; /* of the library */
} asynq_text;

/* Frees a text that a call of an inspector has filled. Accepts NULL, and what is all zero or was freed before. Thread:
 * any. */
ASYNQ_API void asynq_text_free(asynq_text *text);

/*
 * Formats the state of all queues as metrics for Prometheus. The names are those of asynq's x/metrics, such as
 * `asynq_queue_size`. Fills `metrics`, which the caller frees. Returns 0 or an error.
 */
ASYNQ_SIZED int asynq_inspector_metrics(asynq_inspector *inspector, asynq_text *metrics, asynq_error *error);

/* The counters of a queue on one day. */
typedef struct asynq_day {
    char date[11];             /* "2006-01-02", UTC */
    int64_t processed, failed; /* attempts that ended, and those of them that failed */
} asynq_day;

/*
 * Reads the counters of a queue on the last days: how many attempts were processed and failed. Fills `count` structs of
 * `days`, today first. Returns 0 or an error: ASYNQ_E_QUEUE_NOT_FOUND.
 */
ASYNQ_SIZED int asynq_inspector_history(asynq_inspector *inspector, const char *queue, asynq_day *days, size_t count,
                                        asynq_error *error);

/* A group of a queue: its name, and how many tasks it has. */
typedef struct asynq_group_info {
    const char *name;
    int64_t size; /* tasks */
} asynq_group_info;

/* A list of the groups of a queue. Freed by asynq_group_list_free(). */
typedef struct asynq_group_list {
    const asynq_group_info *groups; /* sorted by name */
    size_t count;
    asynq_memory *memory; /* of the library */
} asynq_group_list;

/* Frees a list of groups that a call of an inspector has filled. Accepts NULL, and what is all zero or was freed
 * before. Thread: any. */
ASYNQ_API void asynq_group_list_free(asynq_group_list *groups);

/*
 * Lists the groups of a queue and how many tasks they have. An unknown queue has no groups; that is no error. Fills
 * `groups`, which the caller frees. Returns 0 or an error.
 */
ASYNQ_SIZED int asynq_inspector_groups(asynq_inspector *inspector, const char *queue, asynq_group_list *groups,
                                       asynq_error *error);

/*
 * Pauses a queue: no server takes tasks from it; running ones continue. The queue need not exist. Returns 0 or an
 * error. ASYNQ_E_ALREADY: the queue is paused.
 */
ASYNQ_API int asynq_inspector_pause(asynq_inspector *inspector, const char *queue, asynq_error *error);

/* Resumes a paused queue: servers take tasks from it again. Returns 0 or an error. ASYNQ_E_ALREADY: it is not paused.
 */
ASYNQ_API int asynq_inspector_unpause(asynq_inspector *inspector, const char *queue, asynq_error *error);

/*
 * A function that is called during long work of an inspector: how much is done of about how much. Returns true, or
 * false to stop there; that is no error, except that a queue then is not deleted. Thread: that of the inspector.
 */
typedef bool (*asynq_progress_cb)(int64_t done, int64_t total, void *arg);

/*
 * Deletes a queue and everything that belongs to it: also completed tasks, groups, counters and the pause, which Go
 * leaves behind. `progress` may be NULL. Returns 0 or an error. ASYNQ_E_QUEUE_NOT_FOUND: it does not exist.
 * ASYNQ_E_QUEUE_NOT_EMPTY: it has tasks other than completed ones, or something in quarantine, and `force` is not set.
 * ASYNQ_E_TASK_ACTIVE: it has active tasks. ASYNQ_E_STATE: `progress` has stopped it.
 */
ASYNQ_API int asynq_inspector_delete_queue(asynq_inspector *inspector, const char *queue, bool force,
                                           asynq_progress_cb progress, void *arg, asynq_error *error);

/* ---- tasks ---- */

/*
 * A task as it is in Redis: its message, its state, and what became of it. Times are Unix time and durations are, in
 * milliseconds; 0 means none, never, or unknown. Texts belong to the list, or to the call that passes them.
 */
typedef struct asynq_task_info {
    const char *id;
    const char *queue;
    const char *type; /* "" if the message cannot be read or is missing; then the fields up to `group` are empty, too */
    const void *payload; /* never NULL; a NUL byte follows */
    size_t payload_length;
    const asynq_header *headers; /* sorted by key */
    size_t header_count;
    int32_t max_retry, retried; /* the maximum of retries, and those that were counted */
    const char *last_error;     /* text of the last failed attempt; "" */
    int64_t last_failed_at_ms;
    int64_t timeout_ms, deadline_ms; /* of an attempt; after which none runs */
    int64_t retention_ms, completed_at_ms;
    const char *unique_key; /* name of the lock in Redis; "" if it has none */
    const char *group;      /* "" if it has none */
    asynq_state state;
    int64_t next_process_at_ms; /* pending: now; scheduled and retry: when it is due */
    int64_t since_ms;           /* pending, archived, aggregating: since when; completed: when it is deleted */
    int64_t lease_ends_at_ms;   /* active: a time in the past means that its server is gone */
    bool is_orphaned;           /* active, and its server is gone */
    bool is_readable;           /* false: the message is missing or malformed */
    const void *result;         /* never NULL; a NUL byte follows */
    size_t result_length;
    double progress;               /* active, as the record of its server says: see asynq_worker_info */
    const char *progress_text;     /* never NULL */
    size_t id_length, type_length; /* producers in Go can put NUL bytes into them */
    int64_t losses; /* how often its server was killed or cut off while it was running; 0 in a list of tasks */
} asynq_task_info;

/* Returns the name of a state of tasks, such as "retry"; "unknown" for other values. Static storage. Thread: any. */
ASYNQ_API const char *asynq_state_name(asynq_state state);

/* Reads the name of a state of tasks, such as "retry". Fills `state`. Returns whether there is such a state. Thread:
 * any. */
ASYNQ_API bool asynq_state_from_name(const char *name, asynq_state *state);

/* A list of tasks. Freed by asynq_task_list_free(). */
typedef struct asynq_task_list {
    const asynq_task_info *tasks;
    size_t count;
    asynq_memory *memory; /* of the library */
} asynq_task_list;

/* Frees a list of tasks that a call of an inspector has filled. Accepts NULL, and what is all zero or was freed before.
 * Thread: any. */
ASYNQ_API void asynq_task_list_free(asynq_task_list *tasks);

/* A set of tasks: those of a queue in one state; of ASYNQ_STATE_AGGREGATING, those of one group. */
typedef struct asynq_task_set {
    const char *queue;
    asynq_state state;
    const char *group; /* only for ASYNQ_STATE_AGGREGATING */
} asynq_task_set;

/* A page of a list: its number and size. Zero means the default. */
typedef struct asynq_page {
    int64_t number; /* from 1, the default */
    int64_t size;   /* default 30 */
} asynq_page;

/*
 * Lists tasks of a queue in one state, a page at a time. Pending and active tasks come oldest first, the others by
 * rising time (due time, time of archiving or joining, end of retention). `page` may be NULL: the first 30. Beyond the
 * end is an empty list. Fills `list`, which the caller frees. Returns 0 or an error: ASYNQ_E_QUEUE_NOT_FOUND.
 */
ASYNQ_SIZED int asynq_inspector_list(asynq_inspector *inspector, const asynq_task_set *set, const asynq_page *page,
                                     asynq_task_list *list, asynq_error *error);

/*
 * Reads one task by its id: state, payload, last error, result. `list` then holds one task; the caller frees it.
 * Returns 0 or an error: ASYNQ_E_QUEUE_NOT_FOUND or ASYNQ_E_TASK_NOT_FOUND.
 */
ASYNQ_SIZED int asynq_inspector_task(asynq_inspector *inspector, const char *queue, const char *id,
                                     asynq_task_list *list, asynq_error *error);

/* A filter: which tasks of a set to visit. Conditions that are NULL or 0 are ignored; a task must meet all others. */
typedef struct asynq_task_filter {
    const char *type;    /* pattern of fnmatch(3): "email:*" */
    const char *id;      /* pattern */
    const char *error;   /* a part of the last error */
    const char *payload; /* a part of the payload */
    /*
     * The earliest time, and the first that is too late: of next_process_at_ms if the task is due at a later time, else
     * of since_ms. A task whose time is not known does not meet the condition.
     */
    int64_t from_ms, until_ms;
} asynq_task_filter;

/* Options of a walk over a set of tasks. Zero means the default. */
typedef struct asynq_walk_options {
    const asynq_task_filter *filter; /* NULL: all */
    asynq_progress_cb progress;      /* NULL: none */
    void *progress_arg;              /* for `progress` */
    int64_t *passed_over; /* NULL, or filled with how many meet the filter but for their time, which is not known */
} asynq_walk_options;

/*
 * A function that receives tasks, as from asynq_inspector_each(). `task` is valid during the call. Returns true, or
 * false to stop. It must not call the inspector. Thread: that of the inspector.
 */
typedef bool (*asynq_task_cb)(const asynq_task_info *task, void *arg);

/*
 * Searches a set of tasks of any size: visits all that meet the filter, in chunks and in constant memory. Those that
 * stay in the set meanwhile are visited; in a list into which others push at the same time a task may be visited twice.
 * Pending and active tasks come newest first, the others as in a page. `options` may be NULL. Returns 0, also if
 * `visit` stopped it, or an error: ASYNQ_E_QUEUE_NOT_FOUND.
 */
ASYNQ_SIZED int asynq_inspector_each(asynq_inspector *inspector, const asynq_task_set *set,
                                     const asynq_walk_options *options, asynq_task_cb visit, void *arg,
                                     asynq_error *error);

/* ---- actions on tasks ---- */

/* An action on tasks: run, archive or delete. */
typedef enum asynq_action {
    ASYNQ_ACTION_RUN,     /* to pending, behind those that wait; from any state but active and pending */
    ASYNQ_ACTION_ARCHIVE, /* from any state but active and archived; an archive keeps its newest 9,999 tasks */
    ASYNQ_ACTION_DELETE   /* from any state but active; its lock is released */
} asynq_action;

/*
 * Runs, archives or deletes one task. Returns 0 or an error: ASYNQ_E_QUEUE_NOT_FOUND, ASYNQ_E_TASK_NOT_FOUND,
 * ASYNQ_E_TASK_ACTIVE (a server runs it), ASYNQ_E_ALREADY (it is in that state already), ASYNQ_E_STATE (it is not where
 * its state says: it is being aggregated, or broken).
 */
ASYNQ_API int asynq_inspector_act(asynq_inspector *inspector, asynq_action action, const char *queue, const char *id,
                                  asynq_error *error);

/* What asynq_inspector_act_all() has done. */
typedef struct asynq_act_result {
    int64_t done;    /* tasks that were run, archived or deleted */
    int64_t dropped; /* ASYNQ_ACTION_ARCHIVE: tasks, old and new, that were deleted because the archive was full */
    int64_t failed;  /* tasks that could not be: gone meanwhile, or broken */
} asynq_act_result;

/*
 * Runs, archives or deletes many tasks: those that are in a set at the time of the call and meet the filter. `options`
 * may be NULL. `result` has what was done also after an error. Unlike in Go, tasks dropped from a full archive leave
 * nothing behind, and deleting pending and grouped tasks releases their locks. After each step it pauses as long as the
 * step took, so that others have Redis for half of the time. Returns 0, also if `progress` stopped it, or an error:
 * ASYNQ_E_QUEUE_NOT_FOUND.
 */
ASYNQ_SIZED int asynq_inspector_act_all(asynq_inspector *inspector, asynq_action action, const asynq_task_set *set,
                                        const asynq_walk_options *options, asynq_act_result *result,
                                        asynq_error *error);

/*
 * Replaces the payload of a scheduled task. The bytes are copied. Returns 0 or an error: ASYNQ_E_QUEUE_NOT_FOUND or
 * ASYNQ_E_TASK_NOT_FOUND. ASYNQ_E_STATE: it is not scheduled, or was changed at the same time.
 */
ASYNQ_API int asynq_inspector_update_payload(asynq_inspector *inspector, const char *queue, const char *id,
                                             const void *payload, size_t length, asynq_error *error);

/*
 * Writes a task back into Redis. It becomes as `task` describes it, such as one that asynq_inspector_task() has read.
 * Its place follows from `state` and next_process_at_ms (scheduled, retry) or since_ms (archived, completed,
 * aggregating); an active task becomes pending. A pending task goes before those that wait, so that tasks keep their
 * order when they are restored in the order of asynq_inspector_each(). The queue is created if need be. No lock is
 * taken for unique_key. Returns 0 or an error. ASYNQ_E_CONFLICT: the id exists in the queue, and nothing was written.
 */
ASYNQ_SIZED ASYNQ_MUST_CHECK int asynq_inspector_restore(asynq_inspector *inspector, const asynq_task_info *task,
                                                         asynq_error *error);

/*
 * Cancels a running task: its handler's cancel mark is set, and the attempt fails with "context canceled". The order is
 * published to all servers, in C and in Go. Returns 0 or an error; 0 does not mean that any server runs the task.
 */
ASYNQ_API int asynq_inspector_cancel(asynq_inspector *inspector, const char *id, asynq_error *error);

/*
 * Waits until a task has ended: completed, archived, or deleted (it succeeded without retention). The wait is at most
 * `timeout_ms` milliseconds. `list`, which the caller frees, is empty if the task was deleted, else it has the task
 * with its result. Returns 0 or an error: ASYNQ_E_QUEUE_NOT_FOUND. ASYNQ_E_TIMEOUT: the task had not ended by then.
 * ASYNQ_E_TASK_NOT_FOUND: it did not exist at the beginning.
 */
ASYNQ_SIZED int asynq_inspector_wait(asynq_inspector *inspector, const char *queue, const char *id, int64_t timeout_ms,
                                     asynq_task_list *list, asynq_error *error);

/* ---- servers ---- */

/* A queue of a server, and its priority. */
typedef struct asynq_queue_priority {
    const char *name;
    int32_t priority;
} asynq_queue_priority;

/* A running task of a server, as of its last heartbeat. */
typedef struct asynq_worker_info {
    const char *task_id, *task_type, *queue;
    const void *payload;
    size_t payload_length;
    int64_t started_at_ms, deadline_ms; /* Unix time in ms */
    double progress;           /* 0 to 1, as its handler said by asynq_job_progress(); below 0: it did not say */
    const char *progress_text; /* likewise; "" */
} asynq_worker_info;

/* A running server, in C or in Go, as of its last heartbeat. */
typedef struct asynq_server_info {
    const char *id, *host, *status;           /* `status` is "active" or "stopped" */
    int32_t pid, concurrency, active_workers; /* `active_workers`: running tasks */
    bool strict_priority;
    int64_t started_at_ms;              /* Unix time in ms */
    const asynq_queue_priority *queues; /* sorted by name */
    size_t queue_count;
    const asynq_worker_info *workers; /* running tasks, longest first */
    size_t worker_count;
} asynq_server_info;

/* A list of running servers. Freed by asynq_server_list_free(). */
typedef struct asynq_server_list {
    const asynq_server_info *servers; /* sorted by host and pid */
    size_t count;
    asynq_memory *memory; /* of the library */
} asynq_server_list;

/* Frees a list of servers that a call of an inspector has filled. Accepts NULL, and what is all zero or was freed
 * before. Thread: any. */
ASYNQ_API void asynq_server_list_free(asynq_server_list *servers);

/*
 * Lists running servers, in C and in Go, and their running tasks: those whose last heartbeat is less than 10 s old. The
 * records of others are removed. Fills `servers`, which the caller frees. Returns 0 or an error.
 */
ASYNQ_SIZED int asynq_inspector_servers(asynq_inspector *inspector, asynq_server_list *servers, asynq_error *error);

/* The maximum length of a message to servers. */
enum {
    ASYNQ_MESSAGE_MAX = 1000 /* bytes */
};

/*
 * Sends a message to all servers of this library, whose on_message receives it. The text has up to ASYNQ_MESSAGE_MAX
 * bytes. `*heard` is filled with how many servers are connected and got it; Go's servers do not. Returns 0 or an error.
 */
ASYNQ_API int asynq_inspector_tell(asynq_inspector *inspector, const char *text, int *heard, asynq_error *error);

/* ---- schedulers ---- */

/* An entry of a scheduler, in C or in Go: a periodic task, and when it is due. Times are Unix time in milliseconds. */
typedef struct asynq_schedule_info {
    const char *id, *spec, *task_type;
    const void *payload;
    size_t payload_length;
    const char *const *options; /* as texts: Queue("low"), MaxRetry(3) */
    size_t option_count;
    int64_t next_at_ms, previous_at_ms;
} asynq_schedule_info;

/* A list of entries of schedulers. Freed by asynq_schedule_list_free(). */
typedef struct asynq_schedule_list {
    const asynq_schedule_info *schedules; /* sorted by next_at_ms */
    size_t count;
    asynq_memory *memory; /* of the library */
} asynq_schedule_list;

/* Frees a list of entries of schedulers that a call of an inspector has filled. Accepts NULL, and what is all zero or
 * was freed before. Thread: any. */
ASYNQ_API void asynq_schedule_list_free(asynq_schedule_list *schedules);

/*
 * Lists the entries of running schedulers, in C and in Go: periodic tasks, and when they are due. Fills `schedules`,
 * which the caller frees. Returns 0 or an error.
 */
ASYNQ_SIZED int asynq_inspector_schedules(asynq_inspector *inspector, asynq_schedule_list *schedules,
                                          asynq_error *error);

/* A task that an entry of a scheduler has enqueued. */
typedef struct asynq_schedule_event {
    const char *task_id;
    int64_t at_ms; /* Unix time in ms */
} asynq_schedule_event;

/* A list of what an entry of a scheduler has enqueued. Freed by asynq_schedule_event_list_free(). */
typedef struct asynq_schedule_event_list {
    const asynq_schedule_event *events; /* newest first */
    size_t count;
    asynq_memory *memory; /* of the library */
} asynq_schedule_event_list;

/* Frees a list of what an entry has enqueued that a call of an inspector has filled. Accepts NULL, and what is all zero
 * or was freed before. Thread: any. */
ASYNQ_API void asynq_schedule_event_list_free(asynq_schedule_event_list *events);

/*
 * Lists what an entry of a scheduler has enqueued, a page at a time, newest first. An unknown entry has enqueued
 * nothing. `page` may be NULL: the first 30. Fills `events`, which the caller frees. Returns 0 or an error.
 */
ASYNQ_SIZED int asynq_inspector_schedule_events(asynq_inspector *inspector, const char *entry_id,
                                                const asynq_page *page, asynq_schedule_event_list *events,
                                                asynq_error *error);

/* ---- Redis Cluster ---- */

/*
 * Reads the hash slot of a queue's keys in a Redis Cluster. Fills `slot`. The queue need not exist. Returns 0 or an
 * error. ASYNQ_E_REDIS: Redis is no cluster.
 */
ASYNQ_API int asynq_inspector_key_slot(asynq_inspector *inspector, const char *queue, int *slot, asynq_error *error);

/* A node of a Redis Cluster. */
typedef struct asynq_cluster_node {
    const char *id;      /* 40 hexadecimal digits */
    const char *address; /* "10.0.0.1:6379", as the nodes know each other */
} asynq_cluster_node;

/* A list of nodes of a Redis Cluster. Freed by asynq_cluster_node_list_free(). */
typedef struct asynq_cluster_node_list {
    const asynq_cluster_node *nodes; /* the master first */
    size_t count;
    asynq_memory *memory; /* of the library */
} asynq_cluster_node_list;

/* Frees a list of nodes of a cluster that a call of an inspector has filled. Accepts NULL, and what is all zero or was
 * freed before. Thread: any. */
ASYNQ_API void asynq_cluster_node_list_free(asynq_cluster_node_list *nodes);

/*
 * Lists the nodes of a Redis Cluster that have a queue's slot: the master and its replicas. Fills `list`, which the
 * caller frees. Returns 0 or an error. ASYNQ_E_NOT_FOUND: no node has it. ASYNQ_E_REDIS: Redis is no cluster.
 */
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
