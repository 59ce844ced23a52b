/*
 * The parts of a server that each do one thing, with one spelling of their life. server.h holds what they share; each
 * has a file and a header of its own.
 *
 *   start   the loop is there and does not run yet; on failure all are stopped
 *   ready   Redis takes commands, for the first time or again
 *   lost    it does not any more
 *   turn    at the end of each turn of the loop: makes commands of what has happened
 *   stop    the loop and the connections have ended, or a start has failed, perhaps before its own
 *
 * `ready` and `turn` go through the table from its first row to its last, `stop` the other way. Thread: loop, but
 * `start` and `stop` while there is none.
 */
#ifndef SERVER_COMPONENT_H
#define SERVER_COMPONENT_H

#include <asynq/error.h>

struct asynq_server;

typedef struct server_component {
    const char *name;
    int (*start)(struct asynq_server *server); /* 0 or a status */
    void (*ready)(struct asynq_server *server);
    void (*lost)(struct asynq_server *server);
    void (*turn)(struct asynq_server *server);
    void (*stop)(struct asynq_server *server);
} server_component;

ASYNQ_MUST_CHECK int components_start(struct asynq_server *server);
void components_ready(struct asynq_server *server);
void components_lost(struct asynq_server *server);
void components_turn(struct asynq_server *server);
void components_stop(struct asynq_server *server);

#endif
