/* Cancellations and notifications: subscriber.c. */
#ifndef SERVER_SUBSCRIBER_H
#define SERVER_SUBSCRIBER_H

#include "redis/nodes.h"
#include "wire/keys.h"

struct asynq_server;
struct served_queue;

/* Beside the work connection to a node, and with it its `data`. */
typedef struct node_subscriber {
    struct node_subscriber *prev, *next;
    struct asynq_server *server;
    redis_node *node;
    redis_conn *conn;   /* messages */
    bool is_tracking;   /* Redis tells us about keys of this node */
    bool can_be_woken;  /* subscribed to our own channel */
    bool cannot_cancel; /* the channel for that was refused */
    asynq_error cancel_error;
    int subscriptions;                  /* channels confirmed */
    bool heard;                         /* it got a message since the last look */
    unsigned char slots[KEY_SLOTS / 8]; /* bits: a channel of the slot is subscribed to */
    bool lacks_slots;                   /* a subscription to a slot was refused, as the slot is not there or not yet */
} node_subscriber;

typedef struct server_subscriber {
    node_subscriber *list;
    bool tracking_refused;
    loop_timer ping;
} server_subscriber;

int subscriber_start(struct asynq_server *server);
int subscriber_queue_start(struct served_queue *queue);
/* The work connection takes commands again, and has forgotten what it told us of. */
void subscriber_node_ready(struct asynq_server *server, redis_node *node);
/* Redis takes commands again: have it track the reads of the work connections. */
void subscriber_ready(struct asynq_server *server);
void subscriber_node_lost(redis_node *node);
void subscriber_node_gone(redis_node *node);
/* Redis tells us about the keys of this queue. */
bool subscriber_is_tracking(const struct served_queue *queue);
/* And of all that there can be. */
bool subscriber_is_tracking_all(const struct asynq_server *server);
/* Likewise, about keys of a slot. */
bool subscriber_tracks(const struct asynq_server *server, int slot);
/* Whoever has tasks for us can wake us, on every node. */
bool subscriber_can_be_woken(const struct asynq_server *server);
void subscriber_stop(struct asynq_server *server);

#endif
