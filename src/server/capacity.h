/*
 * What routes have room for: asynq_capacity, and what a server holds of each. A task takes its place with its slot, and
 * the lease that may bring it reserves the place before.
 *
 * Thread: loop, but for what is public.
 */
#ifndef SERVER_CAPACITY_H
#define SERVER_CAPACITY_H

#include "event/waker.h"
#include "server/job.h"

struct asynq_server;

typedef struct held_capacity {
    asynq_capacity *capacity; /* referenced */
    int taken, reserved;      /* by this server; `taken` is part of the capacity's own count */
} held_capacity;

typedef struct server_capacities {
    held_capacity *items; /* those of the mux, each once */
    size_t count;
    lease_rule *rules; /* as broker_lease_some() takes them */
    size_t rule_count;
    int *rooms;         /* room for the lease that is being put together */
    loop_waker changed; /* a capacity has room that had none, by another thread or server */
    int unbegun;        /* tasks that were taken and have not begun: of which capacity is not known yet */
    bool has_more_room; /* since the last round of leases */
} server_capacities;

int capacities_start(struct asynq_server *server);
void capacities_stop(struct asynq_server *server);

/* With the job's slot. */
void capacity_take(asynq_job *job);
void capacity_give_back(asynq_job *job);

/* One of the tasks that have not begun is about to. */
void capacities_begin_one(struct asynq_server *server);

/* Free places that no lease of this server has reserved; never below 0. */
int capacity_room(const struct asynq_server *server, size_t index);

#endif
