/* Taking tasks: fetch.c. */
#ifndef SERVER_FETCH_H
#define SERVER_FETCH_H

#include "server/job.h"

struct asynq_server;
struct served_queue;

/* Of a queue. */
typedef struct queue_fetch {
    bool may_have_tasks;     /* false while watched, paused or resting */
    size_t planned;          /* for the round that is being put together */
    bool lease_in_flight;    /* or messages of its tasks are read */
    size_t messages_awaited; /* message_read.c */
    size_t lease_asked;
    size_t mean_message_size; /* bytes, of the last tasks taken */
    held_lease lease;         /* of the call under way, or of the one whose outcome is unknown */
    bool lease_unknown;
    error_pause pause;
} queue_fetch;

/* Of the server. */
typedef struct server_fetch {
    uint32_t number; /* in lease tags; 0: not handed out yet */
    uint32_t lease_calls;
    size_t leases_in_flight;
} server_fetch;

/* Redis takes commands again: leases whose reply was lost are read back first. */
void fetch_ready(struct asynq_server *server);
void fetch_turn(struct asynq_server *server);
/* All messages that a lease left out are there, or the lease is to be read back. */
void fetch_lease_over(struct served_queue *queue);
/* The pause of a queue after an error is over. */
void fetch_rested(struct served_queue *queue);

#endif
