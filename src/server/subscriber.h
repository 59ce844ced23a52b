/* Cancellations and notifications: subscriber.c. */
#ifndef SERVER_SUBSCRIBER_H
#define SERVER_SUBSCRIBER_H

#include "redis/conn.h"

struct asynq_server;
struct served_queue;

typedef struct server_subscriber {
    redis_conn *conn; /* messages */
    bool tracking_refused;
    int subscriptions; /* channels confirmed */
    bool heard;        /* it got a message since the last look */
    loop_timer ping;
} server_subscriber;

int subscriber_start(struct asynq_server *server);
/* Redis takes commands again: have it track the reads of the work connection. */
void subscriber_ready(struct asynq_server *server);
void subscriber_lost(struct asynq_server *server);
void subscriber_stop(struct asynq_server *server);

#endif
