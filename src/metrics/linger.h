/*
 * The end of a connection whose request was refused before it had been read: what still comes is read and thrown away
 * for some seconds, as a reset would take the answer from the client. Thread: that of the loop.
 */
#ifndef METRICS_LINGER_H
#define METRICS_LINGER_H

#include "event/loop.h"

struct lingering;
typedef struct linger_set {
    loop *loop;
    struct lingering *items;
    unsigned count;
} linger_set;

void linger_init(linger_set *l, loop *owner);
/* Ends all. */
void linger_clear(linger_set *l);
/* The socket is about to be closed by somebody else. Without room for one more, it just is. */
void linger_add(linger_set *l, int fd);

#endif
