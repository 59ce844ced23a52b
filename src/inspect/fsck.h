/*
 * fsck from inside. fsck.c goes over the keys of Redis and hands them out: tasks to fsck_tasks.c, a queue's other keys
 * to fsck_keys.c. What belongs to no queue is in fsck_records.c. The queues of a run are those of fsck_queues.c.
 * Everything found passes through fsck_report(), in fsck_findings.c. A run is the caller's thread's from its beginning
 * to its end.
 */
#ifndef INSPECT_FSCK_H
#define INSPECT_FSCK_H

#include "base/hash.h"
#include "broker/fsck.h"
#include "inspect/inspect.h"

#include <asynq/fsck.h>

/* A fault that was told already. */
typedef struct fsck_told {
    uint64_t fingerprint;
    UT_hash_handle hh;
} fsck_told;

/* A key or record that belongs to no queue and seems wrong; looked at again at the end. */
typedef struct fsck_record fsck_record;

typedef struct fsck_queue {
    queue_keys keys;
    const char *name;
    bool is_registered;
    bool has_tasks;
    uint64_t *seen; /* fingerprints of what stands in pending, in active and in the sets of groups */
    size_t seen_count, seen_capacity;
    bool is_seen_sorted;
    UT_hash_handle hh; /* by name */
} fsck_queue;

typedef struct fsck {
    asynq_inspector *inspector;
    asynq_fsck_options options;
    asynq_finding_cb found;
    void *arg;
    asynq_fsck_result *result;
    asynq_error *error;
    fsck_queue *queues;
    fsck_told *told;
    fsck_record *records;
    arena names;            /* lives as long as the run */
    int64_t total, scanned; /* keys, for the progress */
    bool stopped;
} fsck;

/* ---- fsck_findings.c: what is told, each key once ---- */
/* Of bytes, with 64 bits; `kind` tells different uses apart. */
uint64_t fsck_fingerprint(char kind, bytes text);

/* Tells a finding, unless one with the same key was told before. */
ASYNQ_MUST_CHECK int fsck_report(fsck *f, const asynq_finding *finding);
/* The same for what a script says of `key`; nothing if it says that nothing is wrong. */
ASYNQ_MUST_CHECK int fsck_report_result(fsck *f, const fsck_queue *queue, bytes id, bytes key,
                                        const check_result *result, const char *detail);

void fsck_clear_findings(fsck *f);

/* ---- fsck_queues.c: a queue lives from when its name is met until fsck_clear_queues() ---- */
/* NULL: the run does not know it. */
fsck_queue *fsck_find_queue(const fsck *f, bytes name);
ASYNQ_MUST_CHECK int fsck_add_queue(fsck *f, bytes name, bool is_registered, fsck_queue **added);
/* The first look at a queue: at what it has once. */
ASYNQ_MUST_CHECK int fsck_look_at_queue(fsck *f, fsck_queue *queue);
/* Adds all queues of Redis's list, and looks at those that are asked for. */
ASYNQ_MUST_CHECK int fsck_look_at_registered_queues(fsck *f);
/* Tells of queues that have tasks and are not in the list. */
ASYNQ_MUST_CHECK int fsck_check_registrations(fsck *f);
void fsck_clear_queues(fsck *f);

/* ---- fsck_tasks.c ---- */
/* Looks at what stands in the queue's containers, and remembers what stands in its lists. */
ASYNQ_MUST_CHECK int fsck_look_at_containers(fsck *f, fsck_queue *queue);
/* The same for the set of a group or of an aggregation. */
ASYNQ_MUST_CHECK int fsck_look_at_group(fsck *f, fsck_queue *queue, bytes key);
/* Looks at tasks by their ids. */
ASYNQ_MUST_CHECK int fsck_look_at_tasks(fsck *f, fsck_queue *queue, const bytes *ids, size_t count);

/* ---- fsck_keys.c ---- */
/* Looks at the keys that a queue has once. First of all: what has a wrong type hinders all else. */
ASYNQ_MUST_CHECK int fsck_look_at_fixed_keys(fsck *f, fsck_queue *queue);
/* Looks at keys that are no tasks. */
ASYNQ_MUST_CHECK int fsck_look_at_keys(fsck *f, fsck_queue *queue, const queue_key_name *parsed, const bytes *names,
                                       size_t count);
/* Looks at what the queue's lists of groups and of aggregations name. */
ASYNQ_MUST_CHECK int fsck_look_at_lists(fsck *f, fsck_queue *queue);

/* ---- fsck_records.c ---- */
/* Looks at a key that belongs to no queue. */
ASYNQ_MUST_CHECK int fsck_look_at_global_key(fsck *f, bytes name);
/* The end: looks at the lists of servers and schedulers, and again at all that seemed wrong. */
ASYNQ_MUST_CHECK int fsck_look_at_records(fsck *f);

/* ---- fsck.c ---- */
/* Tells the progress. False: the caller wants to stop. */
bool fsck_go_on(fsck *f);
/* What came of reading a container. One that has become a key of another type holds nothing; fsck_keys.c tells of it.
 */
ASYNQ_MUST_CHECK int fsck_pass_over_wrong_type(fsck *f, int status);

/* One command. */
ASYNQ_MUST_CHECK int fsck_command(fsck *f, inspect_kind kind, const bytes *words, size_t count,
                                  const redis_value **reply);
/* The same, whose answer is a number. */
ASYNQ_MUST_CHECK int fsck_ask_number(fsck *f, const bytes *words, size_t count, int64_t *number);

#endif
