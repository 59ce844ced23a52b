/*
 * Which node of a Redis Cluster has which slot, as CLUSTER SLOTS tells it: ranges of slots, each with its master, and
 * the ids of its replicas. What newer servers add is not read.
 */
#ifndef REDIS_SLOT_MAP_H
#define REDIS_SLOT_MAP_H

#include "redis/reply.h"

#include <netdb.h>

enum { SLOT_MAP_MAX_RANGES = 16384, SLOT_MAP_ID_LENGTH = 40 };

typedef struct slot_range {
    int first, last;
    char host[NI_MAXHOST]; /* never empty */
    int port;
    char id[SLOT_MAP_ID_LENGTH + 1]; /* of the node; "" where the server does not tell */
} slot_range;

/*
 * One range of the reply. An empty or unknown host is that of the node which answered, and so is port 0. False: the
 * range is not one that there can be.
 */
bool slot_range_read(const redis_value *reply, size_t index, const char *own_host, int own_port, slot_range *range);
/* The id of one of the range's nodes, from its master at 0 on through its replicas. False: there is none. */
bool slot_range_read_id(const redis_value *reply, size_t index, size_t which, char id[SLOT_MAP_ID_LENGTH + 1]);
/* Whether it can be a map at all: an array of ranges, not empty. */
bool slot_map_is_sound(const redis_value *reply);

#endif
