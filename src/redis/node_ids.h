/*
 * Ids of a cluster's nodes, masters and replicas, as the last map told them: a map that has none of them is of another
 * cluster. Thread: loop.
 */
#ifndef REDIS_NODE_IDS_H
#define REDIS_NODE_IDS_H

#include "redis/slot_map.h"

enum { NODE_IDS_MAX = 4000 };

/* {0} is empty. */
typedef struct node_ids {
    char (*at)[SLOT_MAP_ID_LENGTH + 1];
    size_t count;
} node_ids;

/* Takes those of a map in place of what was there. Without memory, or above the bound, some are left out. */
void node_ids_take(node_ids *ids, const redis_value *map);
/* Whether one of them is in the map; also if nothing is known, or the map has no ids (before Redis 4). */
bool node_ids_meet(const node_ids *ids, const redis_value *map);
void node_ids_clear(node_ids *ids);

#endif
