/* Being told when a descriptor can be read from or written to. Thread: loop. */
#ifndef EVENT_WATCH_H
#define EVENT_WATCH_H

#include "event/loop.h"

typedef void (*loop_watch_cb)(void *arg, bool can_read, bool can_write);

typedef struct loop_watch {
    struct event event;
    loop *loop;
    int fd;
    loop_watch_cb cb; /* NULL: never made, or cleared */
    void *arg;
} loop_watch;

/* Calls `cb` whenever the descriptor can be read from or written to, as loop_watch_set() says. Errors count as both. */
void loop_watch_init(loop *l, loop_watch *watch, int fd, loop_watch_cb cb, void *arg);
void loop_watch_set(loop_watch *watch, bool to_read, bool to_write);
/* Before the descriptor is closed. */
void loop_watch_clear(loop_watch *watch);

#endif
