/* Roles of idle servers: parking.c. */
#ifndef SERVER_PARKING_H
#define SERVER_PARKING_H

#include "base/buf.h"
#include "broker/broker.h"

struct asynq_server;
struct served_queue;

/* Of a queue. */
typedef struct queue_parking {
    queue_role role;
    bool role_wanted, role_asked;
    bool role_in_flight; /* an answer is due; if it is not asked any more, it has left meanwhile */
    bool woken;          /* while the role was asked for */
    bool off_duty;       /* parked: others keep the timers and do the upkeep */
    int renewals;        /* under way */
    bool is_often;       /* of very many queues, one where a role is worth its price */
    int64_t heard_at_ms; /* steady clock: of a task, at last */
} queue_parking;

/* Of the server. */
typedef struct server_parking {
    bool is_on;                                     /* the fleet is large enough */
    bool has_many;                                  /* too many queues for a role in each */
    int often_count;                                /* queues with `is_often` */
    int64_t servers_alive;                          /* as the last beat told */
    buf wake_channel;                               /* our own */
    struct served_queue *riding[BROKER_BEAT_ROLES]; /* whose roles the beat that is under way renews */
    size_t riding_count;
} server_parking;

int parking_queue_start(struct served_queue *queue);
void parking_queue_stop(struct served_queue *queue);
void parking_stop(struct asynq_server *server);
/* Each empty queue is to be asked for a role. */
bool parking_is_for_all(const struct asynq_server *server);
/* A task has come, or one was taken. */
void parking_heard(struct served_queue *queue);
/* A look has found the queue empty. Whether it is one to be asked for. */
bool parking_wants(struct served_queue *queue);
/* An empty queue: be a watcher, or park. */
void parking_ask(struct served_queue *queue);
/* The queue is not served any more. */
void parking_leave(struct served_queue *queue);
/* In each turn: asks, or leaves when no task can be taken. */
void parking_turn(struct asynq_server *server);
/* What Redis has of us is gone or unknown: look into the queue. */
void parking_forget(struct served_queue *queue);
/* A message on our own channel, with the name of the queue, told by a node. False: it is no queue of ours. */
bool parking_woken(struct asynq_server *server, const redis_node *by, bytes queue);
/* True if another server does the upkeep of the queue. */
bool parking_skips_upkeep(const struct served_queue *queue);
/* With each beat: keeps the roles that it has. Fills in those that the beat is to renew, and returns how many. */
size_t parking_beat(struct asynq_server *server, const queue_keys *roles[BROKER_BEAT_ROLES]);
/* The answers to them, or NULL: the beat has failed. */
void parking_kept(struct asynq_server *server, const queue_role *roles);
/* What the beat told of the fleet. */
void parking_fleet_counted(struct asynq_server *server, int64_t servers_alive);
/* Whether this server can be woken may have changed. */
void parking_reconsider(struct asynq_server *server);

#endif
