/*
 * Taking tasks: fetch.c. What a call took whose reply was lost is read back by read_back.c.
 *
 * Thread: loop, all.
 */
#ifndef SERVER_FETCH_H
#define SERVER_FETCH_H

#include "server/job.h"

struct asynq_server;
struct served_queue;

/* So many calls may be under way to each queue: while Redis works at one, we work at what the other has brought. */
enum { FETCH_ROUNDS = 2 };

/* A call that takes tasks, from when it is sent until all that it took have begun. */
typedef struct lease_call {
    struct served_queue *queue;
    held_lease lease;
    size_t asked;
    size_t messages_awaited; /* message_read.c */
    bool is_in_flight;       /* or messages of its tasks are read, or it is read back */
    bool is_unknown;         /* its reply was lost: what it took is to be read back */
} lease_call;

/* What a queue is to the draw. */
typedef enum fetch_place {
    FETCH_NOTHING, /* no task is expected there */
    FETCH_READY,   /* a task may be taken now */
    FETCH_HELD,    /* an answer is awaited first: those of lower priority wait, if the order is strict */
    FETCH_AWAY     /* its node is not there */
} fetch_place;

/* Of a queue. */
typedef struct queue_fetch {
    bool may_have_tasks; /* false while watched, paused or resting; see fetch_may() */
    fetch_place place;   /* follows from the rest: fetch_reconsider() */
    size_t planned;      /* for the round that is being put together */
    struct served_queue *planned_next;
    int64_t backlog;          /* pending when last told, without what has been asked for since */
    size_t mean_message_size; /* bytes, of the last tasks taken */
    lease_call calls[FETCH_ROUNDS];
    error_pause pause;
} queue_fetch;

/* Of the server. */
typedef struct server_fetch {
    uint32_t lease_calls;
    size_t in_flight[FETCH_ROUNDS]; /* leases, by round */
    struct served_queue *planned;   /* by the round that is being put together */
} server_fetch;

int fetch_queue_start(struct served_queue *queue);
/* Whether to look for tasks. */
void fetch_may(struct served_queue *queue, bool may_have_tasks);
/* To be called when what its place depends on has changed. */
void fetch_reconsider(struct served_queue *queue);
/* It is in no place any more, until it is reconsidered. */
void fetch_withdraw(struct served_queue *queue);
/* Redis takes commands again: leases whose reply was lost are read back first. */
void fetch_ready(struct asynq_server *server);
void fetch_turn(struct asynq_server *server);
/* All messages that a lease left out are there, or the lease is to be read back. */
void fetch_lease_over(lease_call *call);
/* This queue rests a moment after an error; the others go on. */
void fetch_rest(struct served_queue *queue);
/* The pause of a queue after an error is over. */
void fetch_rested(struct served_queue *queue);

bool fetch_has_leases_in_flight(const struct asynq_server *server);
/* Whether a call of this queue is in flight, and whether of one nobody knows what it took. */
bool fetch_is_under_way(const struct served_queue *queue);
bool fetch_is_unknown(const struct served_queue *queue);

#endif
