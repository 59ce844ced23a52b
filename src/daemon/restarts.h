/*
 * Pools whose restart somebody has asked for by `asynqctl pool restart`: the message comes to the thread of a server,
 * the pool is the loop's. Messages that came before the loop looked count once; a later one counts anew, also while
 * processes are being replaced: those that were started in between may have read what has changed since.
 */
#ifndef DAEMON_RESTARTS_H
#define DAEMON_RESTARTS_H

#include "event/loop.h"

#include <stddef.h>

typedef struct restarts restarts;

/* `restart` is called on the loop. NULL: out of memory, or of descriptors. */
restarts *restarts_new(loop *l, void (*restart)(void *arg, const char *pool), void *arg);
/* The text of a message; another one than "restart-pool NAME" is ignored. Thread: any, until it is freed. */
void restarts_take(restarts *r, const char *text, size_t length);
/* Accepts NULL. */
void restarts_free(restarts *r);

#endif
