/* See node_ids.h. */
#include "redis/node_ids.h"

#include "base/alloc.h"

#include <string.h>

enum { NODE_IDS_MAX_LOOKED = 1000 /* ranges of a map that may have none: it takes time */ };

static bool node_ids_has(const node_ids *ids, const char *id)
{
    for (size_t i = 0; i < ids->count; i++)
        if (strcmp(ids->at[i], id) == 0)
            return true;
    return false;
}

static void node_ids_add(node_ids *ids, const char *id)
{
    if (ids->count == NODE_IDS_MAX || node_ids_has(ids, id))
        return;
    void *at = mem_realloc(ids->at, (ids->count + 1) * sizeof *ids->at);
    if (!at)
        return;
    ids->at = at;
    memcpy(ids->at[ids->count++], id, strlen(id) + 1);
}

void node_ids_clear(node_ids *ids)
{
    mem_free(ids->at);
    *ids = (node_ids){0};
}

/* All ranges of a master have the same replicas. */
void node_ids_take(node_ids *ids, const redis_value *map)
{
    char id[SLOT_MAP_ID_LENGTH + 1];
    ids->count = 0;
    for (size_t i = 0; i < map->count; i++)
        if (slot_range_read_id(map, i, 0, id) && !node_ids_has(ids, id))
            for (size_t j = 0; slot_range_read_id(map, i, j, id); j++)
                node_ids_add(ids, id);
}

bool node_ids_meet(const node_ids *ids, const redis_value *map)
{
    char id[SLOT_MAP_ID_LENGTH + 1];
    bool has_id = false;
    for (size_t i = 0; i < map->count && i < NODE_IDS_MAX_LOOKED; i++)
        for (size_t j = 0; slot_range_read_id(map, i, j, id); j++) {
            has_id = true;
            if (node_ids_has(ids, id))
                return true;
        }
    return !has_id || !ids->count;
}
