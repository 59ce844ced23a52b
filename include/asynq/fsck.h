/*
 * Finding what is broken in Redis, and repairing it.
 *
 *     bool print(const asynq_finding *finding, void *arg) { printf("%s: %s\n", finding->key, finding->detail); ... }
 *     asynq_fsck_result result;
 *     int status = asynq_inspector_fsck(inspector, &(asynq_fsck_options){ .repair = true }, print, NULL, &result,
 * &error);
 *
 * All that Asynq relies on is checked (the invariants of its protocol): each task stands in exactly one place, the one
 * that its state names, with a message that can be read; active tasks have leases; locks, groups, counters, records and
 * keys of our own are what they should be. Queues may be in use meanwhile: what looks wrong is looked at again, as a
 * whole at one moment, before it is reported.
 *
 * Thread: that of the inspector, which belongs to one thread at a time; the call blocks until Redis has answered.
 *
 * Errors of all calls: ASYNQ_E_INVALID (an argument is wrong), ASYNQ_E_UNAVAILABLE (nothing was changed),
 * ASYNQ_E_OUTCOME_UNKNOWN (a change may have been made), ASYNQ_E_AUTH, ASYNQ_E_VERSION, ASYNQ_E_REDIS,
 * ASYNQ_E_REDIS_FULL, ASYNQ_E_NO_MEMORY, ASYNQ_E_MALFORMED (what is in Redis cannot be read), ASYNQ_E_STATE (in a child
 * of a fork).
 */
#ifndef ASYNQ_FSCK_H
#define ASYNQ_FSCK_H

#include <asynq/inspector.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kind of a fault in Redis that fsck finds, and how it is repaired. */
typedef enum asynq_fault {
    ASYNQ_FAULT_NO_TASK = 1, /* an id stands in a container, but there is no task: the id is removed */
    ASYNQ_FAULT_LOST,        /* a task stands nowhere. It is put where its state says; to pending if it was active or
                                waited for a retry; to archived if it was scheduled, since its time is lost */
    ASYNQ_FAULT_TWICE,       /* a task stands in several places: it keeps the one that its lease or state names */
    ASYNQ_FAULT_STATE,       /* the state is another than the place says: the state is corrected */
    ASYNQ_FAULT_NO_LEASE,    /* active without a lease, so no server would recover it: it gets one */
    ASYNQ_FAULT_LEASE,       /* a lease, but not active: back to active if its state says so, else the lease goes */
    ASYNQ_FAULT_UNREADABLE,  /* no message, or one that cannot be read or is another task's: quarantine */
    ASYNQ_FAULT_TYPE,        /* a key has the wrong type, or a counter is no number: quarantine */
    ASYNQ_FAULT_LOCK,        /* the lock of a unique task that has gone: it is released */
    ASYNQ_FAULT_GROUP,       /* a group has tasks, but no aggregator sees it: it is listed */
    ASYNQ_FAULT_EMPTY_GROUP, /* a group is listed that has no tasks: the name is removed */
    ASYNQ_FAULT_AGGREGATION, /* tasks of an aggregation without a server (they go back to their group), or the reverse
                              */
    ASYNQ_FAULT_NO_TTL,      /* a key that must end some day does not, or far too late: it will */
    ASYNQ_FAULT_QUEUE,       /* tasks in a queue that is not registered, so user interfaces miss it: it is registered */
    ASYNQ_FAULT_RECORD,      /* the record of a server or scheduler that has gone: it is forgotten */
    ASYNQ_FAULT_NOT_KEPT     /* the name of a queue that a Redis Cluster cannot keep: it leaves the list */
} asynq_fault;

/* Returns the name of a kind of faults, such as "task-in-no-set". Static storage. Thread: any. */
ASYNQ_API const char *asynq_fault_name(asynq_fault fault);

/* A fault that fsck has found. Texts are valid during the call of asynq_finding_cb. */
typedef struct asynq_finding {
    asynq_fault fault;
    const char *queue;    /* "" for what belongs to no queue */
    const char *task_id;  /* "" for what is no task */
    const char *key;      /* in Redis */
    const char *detail;   /* human-readable */
    const char *repaired; /* what was done, human-readable; "" if nothing was */
} asynq_finding;

/*
 * A function that receives the faults that fsck finds. `finding` is valid during the call. Returns true, or false to
 * stop. It must not call the inspector. Thread: that of the inspector.
 */
typedef bool (*asynq_finding_cb)(const asynq_finding *finding, void *arg);

/* Options of fsck. Zero means the default. */
typedef struct asynq_fsck_options {
    const char *queue; /* only this one, and no records of servers; NULL: everything. It need not be registered */
    bool repair;       /* repair what is found */
    asynq_progress_cb progress; /* keys looked at, of about how many; NULL: none */
    void *progress_arg;         /* for `progress` */
} asynq_fsck_options;

/* What fsck has looked at, found and repaired. */
typedef struct asynq_fsck_result {
    int64_t tasks, keys; /* looked at */
    int64_t findings;    /* faults */
    int64_t repaired;    /* faults that were repaired */
} asynq_fsck_result;

/*
 * Checks Redis for faults and repairs them: looks at every key of Asynq in small steps, and reports each fault once. A
 * task with several faults is reported with one of them; all are repaired. No task is deleted: what cannot be read goes
 * into a quarantine for 90 days, see asynq_inspector_quarantine(). `options` and `found` may be NULL. `result` has what
 * was done also after an error. Takes about 8 bytes of memory for each pending, active or grouped task. Redis is held
 * for less than a millisecond at a time, except that each task that seems wrong is searched in the lists of its queue:
 * 15 ms among a million pending ones. Returns 0, also if faults were found, or an error. ASYNQ_E_QUEUE_NOT_FOUND: there
 * is nothing of the queue of `options`.
 */
ASYNQ_SIZED int asynq_inspector_fsck(asynq_inspector *inspector, const asynq_fsck_options *options,
                                     asynq_finding_cb found, void *arg, asynq_fsck_result *result, asynq_error *error);

/* ---- the quarantine of a queue ---- */

/* An entry of the quarantine: a key that fsck could not read. Texts are valid during the call of asynq_quarantined_cb.
 */
typedef struct asynq_quarantined {
    const char *name;    /* the key's name after "asynq:{<queue>}:"; of a task "t:<id>" */
    int64_t at_ms;       /* when it was put there; Unix time in ms */
    const char *reason;  /* human-readable */
    const void *message; /* of a task, as it was in Redis; length 0: none */
    size_t message_length;
    const void *dump; /* the whole key, for Redis's RESTORE */
    size_t dump_length;
} asynq_quarantined;

/*
 * A function that receives the entries of a quarantine. `entry` is valid during the call. Returns true, or false to
 * stop. It must not call the inspector. Thread: that of the inspector.
 */
typedef bool (*asynq_quarantined_cb)(const asynq_quarantined *entry, void *arg);

/*
 * Lists the quarantine of a queue: what fsck could not read. Calls `visit` for each entry, in no particular order. The
 * queue need not exist. Returns 0, also if `visit` stopped it, or an error.
 */
ASYNQ_SIZED int asynq_inspector_quarantine(asynq_inspector *inspector, const char *queue, asynq_quarantined_cb visit,
                                           void *arg, asynq_error *error);

/* Deletes an entry of a quarantine permanently. Returns 0 or an error. ASYNQ_E_NOT_FOUND: there is none of that name.
 */
ASYNQ_API int asynq_inspector_quarantine_delete(asynq_inspector *inspector, const char *queue, const char *name,
                                                asynq_error *error);

/* ---- sizes: see sizes.h ---- */

/* clang-format off */
static const size_t asynq_fsck_sizes[] ASYNQ_UNUSED = {
    4,
    sizeof(asynq_finding),
    sizeof(asynq_fsck_options),
    sizeof(asynq_fsck_result),
    sizeof(asynq_quarantined),
};
/* clang-format on */
static const asynq_sizes asynq_sizes_of_fsck ASYNQ_UNUSED = {
    {asynq_client_sizes, NULL, NULL, asynq_inspector_sizes, asynq_fsck_sizes}};

ASYNQ_SIZED_API int asynq_inspector_fsck_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                               const asynq_fsck_options *options, asynq_finding_cb found, void *arg,
                                               asynq_fsck_result *result, asynq_error *error);
ASYNQ_SIZED_API int asynq_inspector_quarantine_sized(const asynq_sizes *sizes, asynq_inspector *inspector,
                                                     const char *queue, asynq_quarantined_cb visit, void *arg,
                                                     asynq_error *error);

#ifndef ASYNQ_OWN_STRUCTS
#define asynq_inspector_fsck(...) asynq_inspector_fsck_sized(&asynq_sizes_of_fsck, __VA_ARGS__)
#define asynq_inspector_quarantine(...) asynq_inspector_quarantine_sized(&asynq_sizes_of_fsck, __VA_ARGS__)
#endif

#ifdef __cplusplus
}
#endif

#endif
