/*
 * Finding the addresses of a host with getaddrinfo(), which follows the system's configuration and reads it anew, in a
 * thread of its own, as it may block for long. One thread per lookup; who asks does not start a second one meanwhile.
 *
 * Thread: loop.
 */
#ifndef REDIS_LOOKUP_H
#define REDIS_LOOKUP_H

#include "event/loop.h"

#include <asynq/error.h>
#include <netdb.h>

typedef struct redis_lookup redis_lookup;

/* Called once, on the loop, unless abandoned before; the lookup is gone then. `problem` is getaddrinfo()'s; the list
 * belongs to the called. */
typedef void (*redis_lookup_cb)(void *arg, int problem, struct addrinfo *addresses);

/* NULL with a text in `error`: no memory, no descriptor or no thread. */
redis_lookup *redis_lookup_start(loop *l, const char *host, int port, redis_lookup_cb cb, void *arg,
                                 asynq_error *error);

/* Nobody waits for the answer any more. The thread ends when the resolver lets it. Accepts NULL. */
void redis_lookup_abandon(redis_lookup *lookup);

/* The address of a host that is written as a number, at once. NULL: it is a name. */
struct addrinfo *redis_lookup_number(const char *host, int port);

#endif
