/*
 * Where keys are: one Redis server, or the masters of a Redis Cluster. It owns a connection to each of them, and sends
 * every command to the one that has its key.
 *
 *   redis_nodes_command() --slot--> node --> conn.c
 *                                     |
 *   MOVED, TRYAGAIN, CLUSTERDOWN:  NOT_RUN; the slot is on hold for a while, and the map is read again
 *   ASK:                           sent once more, to the other node
 *
 * The map is read (CLUSTER SLOTS) at the start, after MOVED, when a node is away, and now and then; it is always built
 * anew as a whole. A node that the others know to be behind them ("current epoch") is not believed, nor one of a
 * cluster that has none of the nodes that were known. When none tells a map that is believed, the seeds of the URI are
 * asked. A node is told by its id at each connect: addresses are given to others.
 *
 * A node that is away stops only what has its keys there. With one server there is one node, which has every slot.
 *
 * Thread: loop, for everything here. No callback runs inside a call to this file.
 */
#ifndef REDIS_NODES_H
#define REDIS_NODES_H

#include "redis/conn.h"

#include <netdb.h>

typedef struct redis_nodes redis_nodes;

typedef struct redis_node {
    redis_conn *conn;
    redis_uri uri; /* the texts are borrowed, but for the host */
    void *data;    /* the owner's; NULL at first */

    /* nodes.c */
    redis_nodes *nodes; /* NULL: it goes */
    char host[NI_MAXHOST];
    char id[41];                /* "" while it is not known */
    bool has_slots, has_gained; /* gained: by the map that is being taken */
    int64_t used_at_ms;         /* last asked by ASK */
    int64_t doubted_at_ms;      /* node_route.c: its connection was dropped because of what it said */
    int64_t told_epoch;         /* node_map.c; 0: it has not been asked since the last election that is known */
    loop_deferred end;
} redis_node;

typedef struct redis_nodes_events {
    void (*ready)(void *arg, redis_node *node); /* also when slots have come to it */
    void (*down)(void *arg, redis_node *node, const asynq_error *error);
    void (*resumed)(void *arg);                /* what could not be sent may be now */
    void (*gone)(void *arg, redis_node *node); /* it has no slots any more; may be NULL */
    void *arg;
} redis_nodes_events;

typedef struct redis_nodes_options {
    loop *loop;
    const redis_uri *uri; /* borrowed; must outlive the nodes */
    log_sink *log;
    const char *name;       /* of the connections */
    const char *key_prefix; /* borrowed: see redis_conn_options */
    redis_nodes_events events;
} redis_nodes_options;

/* Starts connecting in the next turn. NULL: out of memory. */
redis_nodes *redis_nodes_new(const redis_nodes_options *options);
/* As redis_conn_free(). Accepts NULL. */
void redis_nodes_free(redis_nodes *nodes);

/* Whether commands for keys of this slot can be sent. */
bool redis_nodes_is_ready(const redis_nodes *nodes, int slot);
/* Whether commands can be sent to any node. */
bool redis_nodes_is_any_ready(const redis_nodes *nodes);

/* The node that has the slot. NULL: none is known. */
redis_node *redis_nodes_at(const redis_nodes *nodes, int slot);
/* Those that have slots, in no order. */
size_t redis_nodes_count(const redis_nodes *nodes);
redis_node *redis_nodes_get(const redis_nodes *nodes, size_t index);
/* A slot has left its node, as that one has told: where it is now is asked. */
void redis_nodes_slot_left(redis_nodes *nodes);
/* Another number: slots have moved, and nodes may have come or gone. */
uint64_t redis_nodes_version(const redis_nodes *nodes);
bool redis_nodes_is_cluster(const redis_nodes *nodes);

/* An empty argument list that lives as long as the nodes, and the start of EVALSHA: see conn.h. */
redis_args *redis_nodes_args(redis_nodes *nodes);
redis_args *redis_nodes_script_args(redis_nodes *nodes, script_id script, int key_count);
/* Sends it to the node that has its key: the first one of a script, the second word of a command. Returns as
 * redis_conn_command(). */
ASYNQ_MUST_CHECK int redis_nodes_command(redis_nodes *nodes, const redis_args *args, redis_result_cb cb, void *arg);

/* A command without a key, to one of them; the same results. */
ASYNQ_MUST_CHECK int redis_nodes_ping(redis_nodes *nodes, redis_result_cb cb, void *arg);

/* Of all connections: see conn.h. */
void redis_nodes_flush(redis_nodes *nodes);
void redis_nodes_reset(redis_nodes *nodes, const char *reason);
int64_t redis_nodes_commands_sent(const redis_nodes *nodes);

#endif
