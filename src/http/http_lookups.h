/*
 * How many names are looked up at the same time: libcurl has a thread for each. One that is given up, as its transfer
 * is out of time, still has its thread until the resolver gives up, too, and counts until then.
 *
 * Thread: that of the loop.
 */
#ifndef HTTP_HTTP_LOOKUPS_H
#define HTTP_HTTP_LOOKUPS_H

#include "event/timer.h"

enum { LOOKUPS_MAX = 64, LOOKUPS_HOST_MAX = 4 };

typedef struct http_lookups {
    loop *loop;
    size_t count;                    /* with those that were given up */
    int64_t gone_at_ms[LOOKUPS_MAX]; /* of those that were given up: when their threads have ended; steady clock */
    size_t first_gone, gone_count;   /* a ring, the earliest first */
    loop_timer gone;
    void (*freed)(void *arg); /* another one may begin */
    void *arg;
} http_lookups;

void http_lookups_init(http_lookups *lookups, loop *l, void (*freed)(void *arg), void *arg);
void http_lookups_clear(http_lookups *lookups);

bool http_lookups_may_begin(const http_lookups *lookups);
void http_lookups_begin(http_lookups *lookups);
/* The name is known, or it is known that there is no such name. */
void http_lookups_end(http_lookups *lookups);
/* Nobody waits for it any more. */
void http_lookups_give_up(http_lookups *lookups);

#endif
