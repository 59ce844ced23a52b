/*
 * From where Redis is said to be to a connected socket: each address of the host is tried in turn, with its share of
 * the time. The host comes from a URI, or from the sentinels in it, which are asked at each attempt.
 *
 * Thread: loop.
 */
#ifndef REDIS_DIAL_H
#define REDIS_DIAL_H

#include "event/timer.h"
#include "event/watch.h"
#include "redis/lookup.h"
#include "redis/sentinel.h"

typedef struct redis_dial_events {
    void (*connected)(void *arg, int fd); /* the socket, non-blocking, now belongs to the called */
    void (*failed)(void *arg, const asynq_error *error);
    void (*moved)(void *arg, const char *text); /* the sentinels name another host than the last one connected to */
    void *arg;
} redis_dial_events;

typedef struct redis_dial {
    loop *loop;
    redis_uri uri; /* the borrowed texts of another one; of a master, with the host that the sentinels have named */
    redis_dial_events events;
    redis_sentinel *sentinel; /* NULL: the host is known */
    char master_host[NI_MAXHOST];
    int64_t verified_at_ms;
    bool is_active, is_finding; /* the sentinels are asked for this attempt */
    redis_lookup *lookup;       /* may outlast an attempt: the next one waits for the same answer */
    struct addrinfo *addresses;
    size_t count, tried; /* addresses, and how many of them have been tried */
    size_t first;        /* where the next attempt begins, counted over all attempts */
    int fd;              /* of the address that is being tried; -1: none */
    loop_watch watch;
    loop_timer share; /* of the address that is being tried */
    int64_t give_up_at_ms;
    asynq_error error; /* what went wrong with each address so far */
} redis_dial;

/* `uri` and `log` are borrowed. Returns 0 or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int redis_dial_init(redis_dial *dial, loop *l, const redis_uri *uri, log_sink *log,
                                     const redis_dial_events *events);
void redis_dial_clear(redis_dial *dial);

/* Starts an attempt of at most `limit_ms`. One of the events follows, perhaps before this returns. */
void redis_dial_start(redis_dial *dial, int64_t limit_ms);
/* Gives the attempt up; no event follows. */
void redis_dial_cancel(redis_dial *dial);

/* What answered at the last address was no good: the next attempt begins with the address behind it. */
void redis_dial_distrust(redis_dial *dial);

/* Asks the sentinels whether the host is still the one: now and then, and each time when it is silent or none of them
 * would tell us. No attempt may be under way. Without sentinels: nothing. */
void redis_dial_verify(redis_dial *dial, bool is_silent);
/* The sentinels have not named the host for more than a second: it may be the master no more. */
bool redis_dial_is_doubtful(const redis_dial *dial);

#endif
