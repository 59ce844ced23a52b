/*
 * From where Redis is said to be to a connected socket: each address of the host is tried in turn, with its share of
 * the time. Today the place comes from a URI.
 *
 * Thread: loop.
 */
#ifndef REDIS_DIAL_H
#define REDIS_DIAL_H

#include "event/timer.h"
#include "event/watch.h"
#include "redis/lookup.h"
#include "redis/uri.h"

typedef struct redis_dial_events {
    void (*connected)(void *arg, int fd); /* the socket, non-blocking, now belongs to the called */
    void (*failed)(void *arg, const asynq_error *error);
    void *arg;
} redis_dial_events;

typedef struct redis_dial {
    loop *loop;
    const redis_uri *uri; /* borrowed */
    redis_dial_events events;
    bool is_active;
    redis_lookup *lookup; /* may outlast an attempt: the next one waits for the same answer */
    struct addrinfo *addresses;
    size_t count, tried; /* addresses, and how many of them have been tried */
    size_t first;        /* where the next attempt begins, counted over all attempts */
    int fd;              /* of the address that is being tried; -1: none */
    loop_watch watch;
    loop_timer share; /* of the address that is being tried */
    int64_t give_up_at_ms;
    asynq_error error; /* what went wrong with each address so far */
} redis_dial;

void redis_dial_init(redis_dial *dial, loop *l, const redis_uri *uri, const redis_dial_events *events);
void redis_dial_clear(redis_dial *dial);

/* Starts an attempt of at most `limit_ms`. One of the events follows, perhaps before this returns. */
void redis_dial_start(redis_dial *dial, int64_t limit_ms);
/* Gives the attempt up; no event follows. */
void redis_dial_cancel(redis_dial *dial);

/* What answered at the last address was no good: the next attempt begins with the address behind it. */
void redis_dial_distrust(redis_dial *dial);

#endif
