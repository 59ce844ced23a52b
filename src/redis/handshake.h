/*
 * What is said on a new connection before any command: credentials, database and name; that Redis shall not execute
 * what may still be on its way from the connection before; and the scripts that it does not have.
 *
 *   AUTH, ROLE, CLUSTER MYID, SELECT, CLIENT SETNAME, CLIENT ID, SCRIPT EXISTS, INFO    --> answers -->    CLIENT KILL,
 * SCRIPT LOAD
 *
 * ROLE only where sentinels have named the server: they may not know yet that it is a master no more. CLUSTER MYID only
 * where the node is known: its address may have been given to another one meanwhile.
 *
 * It asks and reads answers; the connection sends. Thread: loop.
 */
#ifndef REDIS_HANDSHAKE_H
#define REDIS_HANDSHAKE_H

#include "redis/answer.h"
#include "redis/script.h"
#include "redis/uri.h"

/* Sends a command. Returns 0 or ASYNQ_E_NO_MEMORY; then `cb` is never called. */
typedef int (*redis_send)(void *arg, int count, const char *const *argv, redis_result_cb cb, void *cb_arg);

/* A connection as its server knows it. Ids of clients begin anew when the server is started again. */
typedef struct redis_session {
    char run_id[64];   /* of the server; empty: it would not say */
    int64_t client_id; /* 0: it would not say */
} redis_session;

typedef struct redis_handshake {
    /* Set by the owner before the start. */
    const redis_uri *uri;   /* borrowed */
    const char *name;       /* for CLIENT SETNAME */
    const char *key_prefix; /* for texts about missing rights */
    const char *node_id;    /* of a cluster: "CLUSTER MYID" has to tell this id. NULL, or "": any */
    bool with_scripts;
    redis_send send;
    void (*done)(void *arg); /* called once: all is said, and `error` tells how it went. Not after an abandonment */
    void *arg;               /* of both */
    bool has_predecessor;    /* a connection was given up with commands under way */
    redis_session predecessor;

    redis_session session;
    asynq_error error;      /* the first thing that went wrong; code 0: nothing */
    asynq_error kill_error; /* why the predecessor could not be ended; code 0: it was, or there was none */
    bool is_active, is_second_part;
    unsigned answers_left;
    bool is_missing[SCRIPT_COUNT];
} redis_handshake;

/* Sends the first commands. Returns 0 or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int redis_handshake_start(redis_handshake *handshake);

/* The connection goes: what is still answered is not read. */
void redis_handshake_abandon(redis_handshake *handshake);

#endif
