/*
 * Finding what is broken in Redis, and mending it.
 *
 *     bool print(const asynq_finding *finding, void *arg) { printf("%s: %s\n", finding->key, finding->detail); ... }
 *     asynq_fsck_result result;
 *     int status = asynq_inspector_fsck(inspector, &(asynq_fsck_options){ .repair = true }, print, NULL, &result,
 * &error);
 *
 * All that Asynq relies on is checked (the invariants of its protocol): each task stands in exactly one place, the one
 * that its state names, with a message that can be read; active tasks have leases; locks, groups, counters, records and
 * keys of our own are what they should be. Queues may be in use meanwhile: what looks wrong is looked at again, as a
 * whole at one moment, before it is told.
 *
 * Errors and threads are those of inspector.h.
 */
#ifndef ASYNQ_FSCK_H
#define ASYNQ_FSCK_H

#include <asynq/inspector.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What can be wrong, and how it is mended. */
typedef enum asynq_fault {
    ASYNQ_FAULT_NO_TASK = 1, /* an id stands in a container, but there is no task: the id is removed */
    ASYNQ_FAULT_LOST,        /* a task stands nowhere. It is put where its state says; to pending if it was active or
                                waited for a retry; to archived if it was scheduled, since its time is lost */
    ASYNQ_FAULT_TWICE,       /* a task stands in several places: it keeps the one that its lease or state names */
    ASYNQ_FAULT_STATE,       /* the state is another than the place says: the state is corrected */
    ASYNQ_FAULT_NO_LEASE,    /* active without a lease, so nobody would recover it: it gets one */
    ASYNQ_FAULT_LEASE,       /* a lease, but not active: back to active if its state says so, else the lease goes */
    ASYNQ_FAULT_UNREADABLE,  /* no message, or one that cannot be read or is another task's: quarantine */
    ASYNQ_FAULT_TYPE,        /* a key has the wrong type, or a counter is no number: quarantine */
    ASYNQ_FAULT_LOCK,        /* the lock of a unique task that has gone: it is released */
    ASYNQ_FAULT_GROUP,       /* a group has tasks, but no aggregator sees it: it is listed */
    ASYNQ_FAULT_EMPTY_GROUP, /* a group is listed that has no tasks: the name is removed */
    ASYNQ_FAULT_AGGREGATION, /* tasks of an aggregation that nobody knows (they go back to their group), or the reverse
                              */
    ASYNQ_FAULT_NO_TTL,      /* a key that must end some day does not, or far too late: it will */
    ASYNQ_FAULT_QUEUE,       /* tasks in a queue that is not registered, so user interfaces miss it: it is registered */
    ASYNQ_FAULT_RECORD,      /* the record of a server or scheduler that has gone: it is forgotten */
    ASYNQ_FAULT_NOT_KEPT     /* the name of a queue that a Redis Cluster cannot keep: it leaves the list */
} asynq_fault;

/* "task-in-no-set" and so on. Static storage. Thread: any. */
ASYNQ_API const char *asynq_fault_name(asynq_fault fault);

typedef struct asynq_finding {
    asynq_fault fault;
    const char *queue;   /* "" for what belongs to no queue */
    const char *task_id; /* "" for what is no task */
    const char *key;     /* in Redis */
    const char *detail;  /* for people */
    const char *mended;  /* what was done, for people; "" if nothing was */
} asynq_finding;

/* Receives a finding; it is valid during the call. Return false to stop. */
typedef bool (*asynq_finding_cb)(const asynq_finding *finding, void *arg);

typedef struct asynq_fsck_options {
    const char *queue; /* only this one, and no records of servers; NULL: everything. It need not be registered */
    bool repair;       /* mend what is found */
    asynq_progress_cb progress; /* keys looked at, of about how many; NULL: nobody is told */
    void *progress_arg;
} asynq_fsck_options;

typedef struct asynq_fsck_result {
    int64_t tasks, keys; /* looked at */
    int64_t findings;
    int64_t mended;
} asynq_fsck_result;

/*
 * Looks at every key of Asynq in small steps, and tells each fault once. A task with several faults is told with one of
 * them; mending mends all. No task is deleted: what cannot be read goes into a quarantine for 90 days, see below.
 * `options` and `found` may be NULL. `result` also tells what was done when an error stopped it. Takes about 8 bytes of
 * memory for each pending, active or grouped task. Redis is held for less than a millisecond at a time, except that
 * each task that seems wrong is searched in the lists of its queue: 15 ms among a million pending ones.
 */
ASYNQ_SIZED int asynq_inspector_fsck(asynq_inspector *inspector, const asynq_fsck_options *options,
                                     asynq_finding_cb found, void *arg, asynq_fsck_result *result, asynq_error *error);

/* ---- the quarantine of a queue ---- */

typedef struct asynq_quarantined {
    const char *name;    /* the key's name behind "asynq:{<queue>}:"; of a task "t:<id>" */
    int64_t at_ms;       /* since when; Unix time */
    const char *reason;  /* for people */
    const void *message; /* of a task, as it stood in Redis; length 0: none */
    size_t message_length;
    const void *dump; /* the whole key, for Redis's RESTORE */
    size_t dump_length;
} asynq_quarantined;

/* Receives an entry; it is valid during the call. Return false to stop. */
typedef bool (*asynq_quarantined_cb)(const asynq_quarantined *entry, void *arg);

/* Visits what fsck has set aside, in no particular order. The queue need not exist. */
ASYNQ_SIZED int asynq_inspector_quarantine(asynq_inspector *inspector, const char *queue, asynq_quarantined_cb visit,
                                           void *arg, asynq_error *error);

/* Deletes an entry for good. ASYNQ_E_NOT_FOUND: there is none of that name. */
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
