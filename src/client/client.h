/*
 * The client from inside. Callers plan their tasks and submit them to the client's own thread, which has a lane per
 * queue. Blocking calls wait for their outcome; there is no second implementation for them.
 *
 *   calls.c, ping.c (any thread) --order--> courier.c (the thread): lanes --> Redis
 *          ^                                             |
 *          +-------------- outcome ----------------------+
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "client/lane.h"
#include "event/timer.h"
#include "redis/engine.h"

#include <pthread.h>

typedef struct client_ping client_ping;

struct asynq_client {
    asynq_client_options options;
    redis_uri uri;
    key_space space;
    log_sink log;
    char id[37];

    pthread_mutex_t lock;   /* of the start, and of `changed` */
    pthread_cond_t changed; /* nothing is outstanding */
    _Atomic bool started, stopping;
    pid_t maker;                  /* the process that made it */
    _Atomic size_t outstanding;   /* tasks and pings without outcome */
    _Atomic size_t waiting_bytes; /* of asynchronous calls */
    engine engine;

    /* The thread's alone. */
    loop_timer tick, retry;
    bool is_ticking; /* often: somebody waits */
    lane_context context;
    lane *lanes; /* uthash */
    client_ping *pings;
};

/* ---- client.c ---- */

/* Starts the client at its first use, and refuses calls that could never end. Takes no lock once it is started. */
ASYNQ_MUST_CHECK int client_check_usable(asynq_client *client, bool is_blocking, asynq_error *error);
/* One call less is outstanding. */
void client_count_down(asynq_client *client);

/* ---- courier.c: the thread ---- */

/* Makes it, under the lock. */
ASYNQ_MUST_CHECK int courier_start(asynq_client *client, asynq_error *error);
/* After it has ended. */
void courier_clear(asynq_client *client);
/* Hands a list of tasks over; linked by their `next`. */
void courier_submit(asynq_client *client, lane_task *first, size_t count);

/* ---- ping.c ---- */

/* All of the thread. Sends those that are not with Redis. */
void pings_pump(asynq_client *client);
/* Ends those whose time is over. */
void pings_expire(asynq_client *client, int64_t now_ms);
/* Ends those that are not with Redis. */
void pings_fail(asynq_client *client, const asynq_error *error);

#endif
