/* Shutting down: shutdown.c. */
#ifndef SERVER_SHUTDOWN_H
#define SERVER_SHUTDOWN_H

#include "event/timer.h"

struct asynq_server;
struct served_queue;

/* How far a shutdown is, in the order of the phases; see shutdown.c. */
typedef enum shutdown_phase {
    SHUTDOWN_NOT_ASKED,
    SHUTDOWN_JOBS_RUN, /* leasing has ended; jobs may finish until the time limit */
    SHUTDOWN_SETTLING, /* no job runs; outcomes are written until acknowledged */
    SHUTDOWN_CLEARING, /* the server's records are being removed */
    SHUTDOWN_DONE
} shutdown_phase;

typedef struct server_shutdown {
    loop_timer limit;
    bool time_is_up;
    int64_t ends_at_ms; /* steady clock: at the latest */
} server_shutdown;

void shutdown_begin(struct asynq_server *server);
/* Running jobs have no more time. */
void shutdown_hurry(struct asynq_server *server);
void shutdown_turn(struct asynq_server *server);
void shutdown_stop(struct asynq_server *server);

#endif
