/*
 * The books of a queue: all jobs that are not GONE, each in the list of its state. A job changes its state here and
 * nowhere else; lists, counts, slots and tokens go with it.
 *
 *   FRESH ----> RUNNING ----> UNSETTLED <----> SETTLING
 *     |           |               |               |
 *     +-----------+------> GONE <-+---------------+
 *
 * FRESH goes straight to UNSETTLED for tasks that are settled without being run here: recovered ones, and those whose
 * message cannot be read. Thread: loop, all.
 */
#ifndef SERVER_BOOKS_H
#define SERVER_BOOKS_H

#include "server/job.h"

/* Of one queue. All lists are in the order in which their jobs are dealt with. */
typedef struct job_books {
    asynq_job *jobs;      /* uthash by id */
    asynq_job *running;   /* JOB_RUNNING */
    asynq_job *unsettled; /* JOB_UNSETTLED */
    asynq_job *settling;  /* JOB_SETTLING, chunk by chunk */
    size_t unsettled_count;
    asynq_job *by_age;   /* all whose lease is ours, oldest first */
    asynq_job *to_renew; /* the same; the next to be renewed first */
    uint64_t last_number;
} job_books;

/* Enters a fresh job by its id, whose lease is `lease`'s, or somebody else's if `settle_score` is set. False: out of
 * memory. */
ASYNQ_MUST_CHECK bool books_enter(struct served_queue *queue, asynq_job *job, const held_lease *lease);
/* NULL: there is none. */
asynq_job *books_find(const struct served_queue *queue, bytes id);
/* The next to be renewed, which goes behind the others. */
asynq_job *books_rotate_renewals(struct served_queue *queue);

/* A job that goes GONE must not be used afterwards, unless the caller holds a reference. */
void job_move(asynq_job *job, job_state to);

/* One of `concurrency`, and of the capacity of its route; a job has at most one. */
void slot_take(asynq_job *job);
void slot_free(asynq_job *job);

#endif
