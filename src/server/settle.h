/* Writing outcomes to Redis: settle.c. */
#ifndef SERVER_SETTLE_H
#define SERVER_SETTLE_H

#include "server/job.h"

struct asynq_server;
struct served_queue;

enum { SETTLE_CALLS = 2 };

/* A chunk on its way to Redis; its jobs stand one after the other in the list of those that are settling. */
typedef struct settle_call {
    struct served_queue *queue;
    asynq_job *first;
    size_t count; /* 0: there is none */
} settle_call;

/* Of a queue. */
typedef struct queue_settle {
    settle_call calls[SETTLE_CALLS];
    loop_timer again;
} queue_settle;

int settle_queue_start(struct served_queue *queue);
void settle_queue_stop(struct served_queue *queue);
/* Writes outcomes of all queues: in each turn, and when Redis takes commands again. */
void settle_turn(struct asynq_server *server);
/* Attempts that have ended and whose outcome Redis has not acknowledged. */
size_t settle_backlog(const struct asynq_server *server);
bool settle_is_idle(const struct served_queue *queue);

#endif
