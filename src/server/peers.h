/* The sessions of other servers, watched for those that end: peers.c. Thread: loop. */
#ifndef SERVER_PEERS_H
#define SERVER_PEERS_H

#include "broker/session.h"
#include "event/timer.h"

#include <stdbool.h>

struct asynq_server;
struct peer;

/* Of the server. Times are of the steady clock. */
typedef struct server_peers {
    struct peer *by_number; /* uthash */
    size_t gone_count;      /* whose sessions are over */
    unsigned version;       /* changes when another one is gone */
    unsigned looks;
    bool is_asked;
    int64_t asked_at_ms, answered_at_ms;
    loop_timer timer;
} server_peers;

int peers_start(struct asynq_server *server);
void peers_stop(struct asynq_server *server);
/* There is something in a queue that servers may lose. */
void peers_look_soon(struct asynq_server *server);

/* The numbers of those whose sessions are over, at most LEASE_SERVER_MAX; returns how many. */
size_t peers_gone(const struct asynq_server *server, uint32_t *numbers);
/* A task of this one was put back: a line in the log, once. */
void peers_tell_gone(struct asynq_server *server, uint32_t number);
/* host:pid:id of one; empty: nobody knows. */
bytes peers_identity(const struct asynq_server *server, int number);

#endif
