/*
 * The parts of a server that each do one thing, with one spelling of their life. server.h holds what they share; each
 * has a file and a header of its own.
 *
 *   start   the loop is there and does not run yet; on failure all are stopped
 *   ready   Redis takes commands, for the first time or again
 *   lost    it does not any more
 *   turn    at the end of each turn of the loop: makes commands of what has happened
 *   queue_start, queue_stop   the same for each queue: behind `start`, before `stop`
 *   stop    the loop and the connections have ended, or a start has failed, perhaps before its own
 *
 * `ready` and `turn` go through the table from its first row to its last, `stop` the other way. Thread: loop, but
 * `start` and `stop` while there is none.
 */
#ifndef SERVER_COMPONENT_H
#define SERVER_COMPONENT_H

#include <asynq/error.h>

struct asynq_server;
struct served_queue;

typedef struct server_component {
    const char *name;
    int (*start)(struct asynq_server *server); /* 0 or a status */
    int (*queue_start)(struct served_queue *queue);
    void (*ready)(struct asynq_server *server);
    void (*lost)(struct asynq_server *server);
    void (*turn)(struct asynq_server *server);
    void (*queue_stop)(struct served_queue *queue);
    void (*stop)(struct asynq_server *server);
} server_component;

/* Of a queue that comes or goes while the server runs. Returns 0 or a status; then it is to be stopped, too. */
ASYNQ_MUST_CHECK int components_queue_start(struct served_queue *queue);
void components_queue_stop(struct served_queue *queue);
ASYNQ_MUST_CHECK int components_start(struct asynq_server *server);
void components_ready(struct asynq_server *server);
void components_lost(struct asynq_server *server);
void components_turn(struct asynq_server *server);
void components_stop(struct asynq_server *server);

#endif
