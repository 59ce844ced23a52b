/*
 * What a node of a Redis Cluster says when it does not run a command, because of the slot of its keys:
 *
 *   MOVED slot host:port   another node has the slot: the map of slots is old
 *   ASK slot host:port     the slot is moving, and these keys are at the other node or nowhere: ask there, this time
 *   TRYAGAIN               the slot is moving, and only some of the keys have gone
 *   CLUSTERDOWN            no node has the slot, or the cluster has lost too many nodes
 *   ...non local key...    as TRYAGAIN, in a script that reads
 */
#ifndef REDIS_REDIRECT_H
#define REDIS_REDIRECT_H

#include "redis/reply.h"

#include <netdb.h>

typedef enum redirect_kind { REDIRECT_NONE, REDIRECT_MOVED, REDIRECT_ASK, REDIRECT_LATER } redirect_kind;

typedef struct redis_redirect {
    redirect_kind kind;
    int slot;              /* of MOVED and ASK; below 0: the text names none that there can be */
    char host[NI_MAXHOST]; /* "": that of the node which answered */
    int port;              /* 0: the text names none that there can be */
} redis_redirect;

redis_redirect redis_redirect_of(const redis_value *reply);

#endif
