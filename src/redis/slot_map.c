/* See slot_map.h. */
#include "redis/slot_map.h"

#include "wire/keys.h"

#include <stdio.h>
#include <string.h>

enum { RANGE_FIRST, RANGE_LAST, RANGE_MASTER, NODE_HOST = 0, NODE_PORT, NODE_ID, SLOT_MAP_MAX_PORT = 65535 };

bool slot_map_is_sound(const redis_value *reply)
{
    return reply->type == REDIS_ARRAY && reply->count > 0 && reply->count <= SLOT_MAP_MAX_RANGES;
}

static bool slot_map_copy_text(const redis_value *value, char *text, size_t size)
{
    bool is_text = value && (value->type == REDIS_STRING || value->type == REDIS_STATUS) && value->text.length < size;
    if (is_text)
        memcpy(text, value->text.data, value->text.length + 1);
    return is_text && strlen(text) == value->text.length; /* no NUL within */
}

bool slot_range_read(const redis_value *reply, size_t index, const char *own_host, int own_port, slot_range *range)
{
    const redis_value *at = redis_value_at(reply, index), *master = redis_value_at(at, RANGE_MASTER);
    if (!master || master->type != REDIS_ARRAY)
        return false;
    int64_t first = redis_value_integer(redis_value_at(at, RANGE_FIRST));
    int64_t last = redis_value_integer(redis_value_at(at, RANGE_LAST));
    int64_t port = redis_value_integer(redis_value_at(master, NODE_PORT));
    *range = (slot_range){.first = (int)first, .last = (int)last, .port = port ? (int)port : own_port};
    if (!slot_map_copy_text(redis_value_at(master, NODE_HOST), range->host, sizeof range->host) || !range->host[0] ||
        strcmp(range->host, "?") == 0)
        snprintf(range->host, sizeof range->host, "%s", own_host);
    if (!slot_map_copy_text(redis_value_at(master, NODE_ID), range->id, sizeof range->id))
        range->id[0] = '\0';
    return first >= 0 && first <= last && last < KEY_SLOTS && port >= 0 && port <= SLOT_MAP_MAX_PORT;
}

bool slot_range_read_id(const redis_value *reply, size_t index, size_t which, char id[SLOT_MAP_ID_LENGTH + 1])
{
    const redis_value *node = redis_value_at(redis_value_at(reply, index), RANGE_MASTER + which);
    return node && node->type == REDIS_ARRAY &&
           slot_map_copy_text(redis_value_at(node, NODE_ID), id, SLOT_MAP_ID_LENGTH + 1) && id[0];
}
