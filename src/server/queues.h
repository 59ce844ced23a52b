/*
 * The queues that a server serves: which there are, how they come and go while it runs, and lists of those that there
 * is something to do for, so that a queue in which nothing happens costs nothing in a turn of the loop.
 *
 *   asynq_server_queue(), any thread --order--> queues_follow(), loop: comes, or gets another priority
 *   asynq_server_remove_queue()      --order--> leaves: no task is taken any more; when its jobs and calls have come to
 *                                               their end, it goes. If it is wanted again before, it stays
 *
 * A queue's memory is counted: jobs and aggregations hold it, also those that outlive the server.
 */
#ifndef SERVER_QUEUES_H
#define SERVER_QUEUES_H

#include "base/bytes.h"

#include <asynq/server.h>
#include <stdatomic.h>

struct served_queue;
struct queue_band;

/* Each queue stands at most once in each. */
typedef enum queue_list {
    QUEUES_NAMED,      /* queues.c: served by their names, in the order in which they came */
    QUEUES_WITH_JOBS,  /* books.c: some job that is not GONE */
    QUEUES_UNSETTLED,  /* books.c: some JOB_UNSETTLED */
    QUEUES_READY,      /* fetch.c: a task may be taken now; of its band, not of the server */
    QUEUES_AWAY,       /* fetch.c: a task may be taken when its node is there again */
    QUEUES_UNKNOWN,    /* fetch.c: a call whose reply was lost */
    QUEUES_EXHAUSTED,  /* ahead.c: it has tasks, but there is no room for any of them */
    QUEUES_WITH_ROLE,  /* parking.c: a role, a wish for one, or no duty */
    QUEUES_WANT_ROLE,  /* parking.c: to be asked for */
    QUEUES_OFTEN,      /* parking.c: of very many queues, those where tasks come often */
    QUEUES_TO_LOOK_AT, /* watch.c: what is known of them may not be so any more */
    QUEUES_IN_UPKEEP,  /* recoverer.c: tasks are active, or sets are being aggregated */
    QUEUES_LEAVING,    /* queues.c */
    QUEUE_LIST_COUNT
} queue_list;

typedef struct queue_link {
    struct served_queue *prev, *next; /* `prev` NULL: it does not stand there */
} queue_link;

/* Both may be called at any time, and again. At its end. */
void queue_list_add(struct served_queue *queue, queue_list list);
void queue_list_remove(struct served_queue *queue, queue_list list);
static inline bool queue_list_set(struct served_queue *queue, queue_list list, bool is_in)
{
    (is_in ? queue_list_add : queue_list_remove)(queue, list);
    return is_in;
}

/* All of a list; the loop may take `queue` out of it. */
#define QUEUES_FOREACH_SAFE(server, list, queue, following)                                                            \
    for ((queue) = (server)->lists[list]; (queue) && ((following) = (queue)->links[list].next, true);                  \
         (queue) = (following))

/* What is to be done for a queue, by its name; under the server's lock until the loop takes it. */
typedef struct queue_order {
    struct queue_order *next;
    int priority; /* 0: it is not to be served any more */
    char name[];  /* or a pattern */
} queue_order;

/* Before the start; also what options.c adds from its table. Returns as asynq_server_queue(). */
int queues_add(asynq_server *server, const char *name, int priority, asynq_error *error);
/* Does what has been ordered. Thread: loop. */
void queues_follow(asynq_server *server);
/* Queues that leave go when nothing of them is under way any more. */
void queues_turn(asynq_server *server);
/* NULL: it is not served. */
struct served_queue *queues_find(const asynq_server *server, bytes name);
/* A queue comes, comes back, or goes to another band. NULL: out of memory, also where `band` is NULL for it. */
struct served_queue *queues_take(asynq_server *server, const char *name, struct queue_band *band);
/* It leaves. */
void queues_drop(struct served_queue *queue);
/* With all queues. Nothing of them is under way any more, or will come back. */
void queues_clear(asynq_server *server);

/* Thread: any. */
void queue_hold(struct served_queue *queue);
void queue_let_go(struct served_queue *queue);

#endif
