/* Writing outcomes to Redis: settle.c. */
#ifndef SERVER_SETTLE_H
#define SERVER_SETTLE_H

#include "server/job.h"

struct asynq_server;
struct served_queue;

int settle_start(struct asynq_server *server);
/* Writes outcomes of all queues: in each turn, and when Redis takes commands again. */
void settle_turn(struct asynq_server *server);
/* Attempts that have ended and whose outcome Redis has not acknowledged. */
size_t settle_backlog(const struct asynq_server *server);
bool settle_is_idle(const struct served_queue *queue);

#endif
