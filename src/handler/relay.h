/* Jobs on their way from the server's loop to the daemon's. */
#ifndef HANDLER_RELAY_H
#define HANDLER_RELAY_H

#include "handler/handler.h"

typedef struct relay relay;

/* `host` is borrowed; `idle` is called when the last call has ended. NULL: out of memory or descriptors. */
relay *relay_new(handler_host *host, void (*idle)(void *arg), void *arg);
/* All calls must have ended; see relay_count(). Accepts NULL. */
void relay_free(relay *r);

/* What a route of the server's mux has as argument of relay_handle(). */
typedef struct relay_route {
    relay *relay;
    const route *route;
    asynq_capacity *capacity; /* what its tasks take up; NULL: nothing */
} relay_route;

/* The handler of such routes, of kind ASYNQ_HANDLER_ASYNC. Thread: the server's loop. */
int relay_handle(asynq_job *job, void *route);

/* Calls that have not ended. */
size_t relay_count(const relay *r);
/* Tells all of them to end soon; for jobs whose server is gone. */
void relay_cancel_all(relay *r);

#endif
