/*
 * Making a queue known. Its name stands in a set of its own, in another slot than its tasks, so no script can do both;
 * and a task whose queue is not in that set is seen by nobody. So the name comes first: what is to be enqueued waits
 * until Redis has acknowledged it, at the beginning and then every five seconds.
 *
 * Thread: loop.
 */
#ifndef BROKER_PUBLISH_H
#define BROKER_PUBLISH_H

#include "broker/broker.h"

enum { QUEUE_PUBLISHED = 0, QUEUE_PUBLISHING = 1 };

/* One for each queue and connection; it must live until the last answer, see `in_flight`. */
typedef struct queue_publication {
    void (*told)(void *arg, int status, const asynq_error *error); /* 0: now tasks may be enqueued */
    void *arg;
    const key_space *space;
    int64_t sent_at_ms, done_at_ms; /* steady clock; 0: not yet */
    bool in_flight, is_known;       /* the second: it was told to the Redis that we know */
} queue_publication;

/*
 * QUEUE_PUBLISHED: enqueue. QUEUE_PUBLISHING: `told` will be called. Below 0: nothing can be sent now, and nothing will
 * be called. `now_ms` is the steady clock.
 */
ASYNQ_MUST_CHECK int queue_publish(queue_publication *publication, const broker *b, bytes queue, int64_t now_ms);

/* Redis may be another one: the next call publishes again. */
void queue_publish_anew(queue_publication *publication);

/* The command alone, for callers that wait for each answer. */
ASYNQ_MUST_CHECK int broker_publish_queue(const broker *b, bytes queue, broker_cb cb, void *arg);

/* A page of the names. reply: as Redis's SSCAN. */
ASYNQ_MUST_CHECK int broker_scan_queues(const broker *b, bytes cursor, broker_cb cb, void *arg);

#endif
