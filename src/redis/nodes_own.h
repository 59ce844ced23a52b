/* Nodes from inside: what nodes.c, node_map.c and node_route.c share. */
#ifndef REDIS_NODES_OWN_H
#define REDIS_NODES_OWN_H

#include "redis/nodes.h"

#include "event/timer.h"
#include "redis/node_ids.h"
#include "redis/slot_holds.h"

struct redis_nodes {
    redis_nodes_options options;
    redis_node **list; /* those with slots first */
    size_t count, with_slots;
    redis_args args;
    int64_t sent_by_gone;
    loop_deferred end;

    /* Of a cluster. */
    redis_node **slots; /* KEY_SLOTS of them; NULL: it is one server */
    slot_holds holds;

    /* node_map.c */
    loop_timer refresh;
    int64_t refresh_at_ms;
    bool is_reading, is_wanted, has_map; /* wanted: again, since it is being read */
    uint64_t version;                    /* of the map */
    node_ids ids;                        /* in it */
    size_t turn;                         /* whom to ask next */
    int64_t epoch;                       /* of the last election that a map was told with */
    int64_t lost_since_ms;               /* maps were asked for and none was believed; 0: the last one was */
    log_limit complaint;
};

static inline int64_t nodes_now_ms(const redis_nodes *nodes)
{
    return loop_steady_ms(nodes->options.loop);
}

/* ---- nodes.c ---- */

/* A cluster may have so many masters; Redis recommends to stay below that. */
enum { NODES_MAX = 1000, NODE_GUEST_LIFE_MS = 60000 /* of a node without slots, since it was last asked by ASK */ };
/* The node at this place; with a connection of its own from now on if it was not known. NULL: out of memory, or there
 * are too many. */
redis_node *nodes_find_or_add(redis_nodes *nodes, const char *host, int port);
bool node_is_at(const redis_node *node, const char *host, int port);
/* Its connection's last results come before it goes. */
void node_free(redis_node *node);

/* ---- node_map.c ---- */

/* Asks the seeds of the URI, beside the nodes that are known, until a map is believed. */
void node_map_add_seeds(redis_nodes *nodes);
enum { NODE_MAP_SEARCH_MS = 500, NODE_MAP_HURRY_MS = 50 };
/* Reads the map again, at the latest in so long. */
void node_map_refresh_within(redis_nodes *nodes, int64_t ms);
void node_map_init(redis_nodes *nodes);

/* ---- node_route.c ---- */

/* Sends to the node that has the slot, and follows where it is sent on. Returns as redis_conn_command(). */
ASYNQ_MUST_CHECK int node_route(redis_nodes *nodes, int slot, const redis_args *args, redis_result_cb cb, void *arg);

#endif
