/*
 * The addresses of the hosts in a connection string. libpq looks names up where it is called, for as long as that
 * takes; here each is looked up in a thread that nobody waits for. What is no name, or comes from elsewhere (the
 * environment, a service file), is left to libpq.
 *
 * Thread: that of the loop.
 */
#ifndef PG_PG_HOSTS_H
#define PG_PG_HOSTS_H

#include "event/loop.h"

#include <asynq/error.h>

typedef struct pg_hosts pg_hosts;

/* A string that libpq cannot read has no hosts here. NULL: out of memory. */
pg_hosts *pg_hosts_new(loop *l, const char *conninfo);
/* Accepts NULL. */
void pg_hosts_free(pg_hosts *h);

/* Lists as libpq takes them, for the addresses that were found; NULL: as in the string. They belong to the hosts. */
typedef struct pg_addresses {
    const char *hosts, *addresses, *ports;
} pg_addresses;

/*
 * Called once: all names were looked up, or after some seconds those were that could be. `addresses` is NULL if none
 * has any; then `error` says why.
 */
typedef void (*pg_hosts_cb)(void *arg, const pg_addresses *addresses, const asynq_error *error);

/* May call back at once. A name that is still being looked up for an earlier call is not looked up twice. */
void pg_hosts_look_up(pg_hosts *h, pg_hosts_cb cb, void *arg);
/* The callback does not come any more. */
void pg_hosts_cancel(pg_hosts *h);

#endif
