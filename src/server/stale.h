/* Tasks that servers in Go have lost: stale.c. Thread: loop. */
#ifndef SERVER_STALE_H
#define SERVER_STALE_H

#include "base/name_set.h"

#include <stdbool.h>
#include <stddef.h>

struct asynq_server;
struct served_queue;
struct stale_lease;

/* Of a queue. */
typedef struct queue_stale {
    struct stale_lease *leases; /* uthash by id */
    size_t ended_count;         /* that ended, and wait for what live servers say */
    unsigned looks;
} queue_stale;

/* Of the server. */
typedef struct server_stale {
    name_set running; /* ids of tasks in the records of live servers */
    size_t replies_due;
    bool has_failed;
} server_stale;

void stale_queue_stop(struct served_queue *queue);
void stale_stop(struct asynq_server *server);

#endif
