/*
 * The tasks for a host of which only some run at the same time: what routes with a host of their own take up. Those of
 * the same host and number share it; it goes with the last of them. Thread: that of the loop.
 */
#ifndef HTTP_HTTP_ROOMS_H
#define HTTP_HTTP_ROOMS_H

#include "handler/admission.h"

typedef struct http_rooms {
    loop *loop;
    bool (*is_used)(void *arg, const char *host); /* whether there is a transfer to it */
    void *arg;
    struct http_place *places;
} http_rooms;

void http_rooms_init(http_rooms *rooms, loop *l, bool (*is_used)(void *arg, const char *host), void *arg);
void http_rooms_clear(http_rooms *rooms);

/* `host`: "host:port". NULL: out of memory; else http_rooms_leave() follows, when no server uses it any more. */
asynq_capacity *http_rooms_join(http_rooms *rooms, const char *host, int64_t max);
/* No effect if there is none. */
void http_rooms_leave(http_rooms *rooms, const char *host, int64_t max);
/* A transfer to it begins. */
void http_rooms_begin(const http_rooms *rooms, const char *host);

#endif
