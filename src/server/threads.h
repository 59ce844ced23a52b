/* As many tasks at a time as there are threads: threads.c. */
#ifndef SERVER_THREADS_H
#define SERVER_THREADS_H

#include "event/timer.h"

struct asynq_server;
struct served_queue;

typedef struct server_threads {
    int slots_wanted; /* the concurrency that was asked for */
    bool are_lacking;
    loop_timer again;
    int64_t pause_ms;
} server_threads;

int threads_start(struct asynq_server *server);
void threads_stop(struct asynq_server *server);
/* Hands the jobs of this turn to their threads. */
void threads_turn(struct asynq_server *server);
/* The concurrency shall be this. */
void slots_set(struct asynq_server *server, int wanted);
/* A job got no thread: no more tasks than there are threads, until there are more. */
void threads_lack(struct asynq_server *server);

#endif
