/* Telling the program, now and then, whether Redis answers: health.c. */
#ifndef SERVER_HEALTH_H
#define SERVER_HEALTH_H

struct asynq_server;

int health_start(struct asynq_server *server);
void health_stop(struct asynq_server *server);

#endif
