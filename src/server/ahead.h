/*
 * Looking ahead in a queue. While a route has no room (capacity.h), its tasks are passed over and stay where they are,
 * for later and for other servers; those behind them are looked at, up to AHEAD_MAX from the oldest on.
 *
 *   oldest                                                                  newest
 *   | taken as room comes: from `first` of its capacity on | ... `looked_at` | not looked at yet |
 *
 * So a task of another route waits for nobody, and a route gets its tasks in their order. What has been looked at once
 * is not looked at again: when a place becomes free, the search begins at the oldest task that was passed over for it.
 *
 * Thread: loop.
 */
#ifndef SERVER_AHEAD_H
#define SERVER_AHEAD_H

#include "broker/broker.h"

struct asynq_server;
struct served_queue;

/* A pending_place that owns its id. */
typedef struct ahead_place {
    int64_t passed;
    char *last_id; /* NULL: empty */
} ahead_place;

/* Of a queue. */
typedef struct queue_ahead {
    ahead_place looked_at;
    ahead_place *first;      /* by capacity: before the oldest task that was passed over for it */
    int *reserved;           /* by capacity, for the lease under way */
    bool *is_wanted;         /* by capacity: it had room for the lease under way */
    const ahead_place *from; /* of `first`: where the lease under way begins. NULL: where nobody has looked */
    int64_t waiting;         /* tasks in the queue, when a lease last told */
    bool is_some;            /* the lease under way is for some of the tasks */
    bool is_exhausted;       /* none of what is there can be run now */
    bool has_taken;          /* or tried to, since the last change was told: the next may be ours */
    int64_t began_at_ms;     /* steady clock: what we know is forgotten after a while, as others change the list too */
    unsigned fruitless;      /* calls in a row */
} queue_ahead;

/* How a lease is to be sent. */
typedef enum ahead_way {
    AHEAD_ALL, /* there is room for whatever comes */
    AHEAD_SOME,
    AHEAD_NONE /* nothing that is there can be run now */
} ahead_way;

/* Fills `choice` and lowers `count` for AHEAD_SOME. Reserves, unless AHEAD_NONE. */
ahead_way ahead_prepare(struct served_queue *queue, size_t *count, lease_choice *choice);
/* The lease was answered, or is lost. */
void ahead_release(struct served_queue *queue);
/* Takes what the reply tells of the queue. Returns whether it is worth to go on now. */
bool ahead_learn(struct served_queue *queue, const redis_value *reply, size_t asked);
/* Something changed in the queue that we have not done; it is worth another look. */
void ahead_wake(struct served_queue *queue);
/* Nothing is known of the queue any more. */
void ahead_forget(struct served_queue *queue);
/* Queues that wait for room that there is now may have tasks again. */
void ahead_wake_for_room(struct asynq_server *server);

int ahead_queue_start(struct served_queue *queue);
void ahead_queue_stop(struct served_queue *queue);

#endif
