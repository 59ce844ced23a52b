/*
 * Scripts that a Redis lost while a connection to it was up: which ones is asked, and those are loaded.
 *
 *   NOSCRIPT --> SCRIPT EXISTS --> answer --> SCRIPT LOAD of each that is missing
 *
 * However many calls found theirs missing, it is done once at a time. Thread: loop.
 */
#ifndef REDIS_RELOAD_H
#define REDIS_RELOAD_H

#include "redis/handshake.h"

typedef struct redis_reload {
    /* Set by the owner. */
    redis_send send;
    void (*failed)(void *arg, const asynq_error *error); /* Redis takes a script no more, or memory is out */
    void *arg;                                           /* of both */

    unsigned answers_left; /* 0: nothing is under way. The owner sets it to 0 with a new connection */
} redis_reload;

void redis_reload_start(redis_reload *reload);

#endif
