/*
 * The connections of an endpoint, which evhttp makes and ends by itself: how many there may be, and how long one may be
 * without a whole request.
 *
 *   accept() fails, for want of descriptors for example --> a pause that grows, one line of the log a minute
 *   as many as there may be --> those that have been without a request longest are closed
 *   no whole request, or an answer that is not read, for `request_within_ms` --> closed
 *
 * Thread: that of the loop.
 */
#ifndef METRICS_CONNECTIONS_H
#define METRICS_CONNECTIONS_H

#include "base/log.h"
#include "event/loop.h"

#include <stddef.h>

struct bufferevent;
struct evconnlistener;
typedef struct connections connections;

typedef struct connections_options {
    loop *loop;
    log_sink *log;
    size_t max;
    int64_t request_within_ms;
} connections_options;

/* NULL: out of memory. */
connections *connections_new(const connections_options *options);
/* After evhttp, which closes them. Accepts NULL. */
void connections_free(connections *c);

/* The listener accepts for evhttp; it is paused and resumed from now on. Borrowed. */
void connections_listen(connections *c, struct evconnlistener *listener);
/* evhttp is about to give this to the socket that it has accepted. */
void connections_add(connections *c, struct bufferevent *fresh);

/* A whole request has come over this descriptor; until its answer the connection stays. */
void connections_begin(connections *c, int fd);
/* Its answer is on its way. */
void connections_end(connections *c, int fd);

/* For how many there is room in a process with its descriptors, of which tasks need most. */
size_t connections_default_max(void);

#endif
