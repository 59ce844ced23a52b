/*
 * One connection to Redis that comes back when it is lost: commands and their results.
 *
 *   dial.c: a socket --> handshake.c: let in --> stream.c: bytes --> answer.c: what a reply means
 *
 * The connection reconnects by itself, with growing, jittered pauses, until it is freed. A command is accepted only
 * while it is ready; what to do with work in the meantime is the caller's business.
 *
 * Thread: loop, for everything here. No callback runs inside a call to this file.
 */
#ifndef REDIS_CONN_H
#define REDIS_CONN_H

#include "base/log.h"
#include "event/loop.h"
#include "redis/answer.h"
#include "redis/args.h"
#include "redis/script.h"
#include "redis/uri.h"

typedef struct redis_conn redis_conn;

typedef struct redis_conn_events {
    void (*ready)(void *arg);                          /* commands are accepted from now on */
    void (*down)(void *arg, const asynq_error *error); /* not ready any more, or an attempt to connect failed */
    void (*resumed)(void *arg); /* Redis could not do a command "now"; a pause is over, and commands are accepted */
    void (*message)(void *arg, const redis_value *message); /* published on a subscribed channel */
    void *arg;
} redis_conn_events;

typedef struct redis_conn_options {
    loop *loop;
    const redis_uri *uri; /* borrowed; must outlive the connection */
    log_sink *log;
    const char *name;       /* for CLIENT SETNAME and the log */
    const char *key_prefix; /* borrowed: what its keys and channels begin with, for texts about missing rights */
    bool without_scripts;   /* this connection calls none */
    bool in_cluster;        /* what is refused because of its slot does not concern the connection */
    const char *node_id;    /* borrowed, and may change: see redis_handshake; NULL: none */
    redis_conn_events events;
} redis_conn_options;

/* Starts connecting in the next turn. NULL: out of memory. */
redis_conn *redis_conn_new(const redis_conn_options *options);

/*
 * Commands still under way get their result in this turn (NOT_RUN or UNKNOWN), then the connection is gone. No event
 * is reported any more. Accepts NULL. Allowed in every callback of the connection.
 */
void redis_conn_free(redis_conn *conn);

bool redis_conn_is_ready(const redis_conn *conn);
/* Since the connection was made, over reconnects. */
int64_t redis_conn_commands_sent(const redis_conn *conn);

/* Closes the socket and connects anew, for a caller that found the server to be the wrong one or deaf. Results of what
 * was under way come at the end of the turn. */
void redis_conn_reset(redis_conn *conn, const char *reason);

/*
 * Sends a command with the next write of this turn. Returns 0, ASYNQ_E_UNAVAILABLE when not ready, ASYNQ_E_BUSY
 * when too much is waiting, ASYNQ_E_INVALID when an argument is longer than Redis takes (512 MB), or ASYNQ_E_NO_MEMORY;
 * then `cb` is never called. `cb` may be NULL.
 */
ASYNQ_MUST_CHECK int redis_conn_command(redis_conn *conn, const redis_args *args, redis_result_cb cb, void *arg);

/* The same for a few words. */
ASYNQ_MUST_CHECK int redis_conn_commandf(redis_conn *conn, redis_result_cb cb, void *arg, int count, ...);

/* The command that was sent last may be answered so much later than others: that is no sign of a dead connection. */
void redis_conn_expect_silence(redis_conn *conn, int64_t ms);

/* Sends what was queued now instead of at the end of the turn, so that Redis works while the rest of the turn goes on.
 */
void redis_conn_flush(redis_conn *conn);

/* An empty argument list that lives as long as the connection, for building one command at a time. */
redis_args *redis_conn_args(redis_conn *conn);

/* What the handshake learned; empty or 0 when Redis would not say. */
const char *redis_conn_run_id(const redis_conn *conn);
int64_t redis_conn_client_id(const redis_conn *conn);

#endif
