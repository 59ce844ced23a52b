/*
 * The map of a cluster's slots: when it is read, from whom, and what is believed. See nodes.h.
 *
 *   MOVED, a node down, time --> refresh --> CLUSTER INFO, CLUSTER SLOTS of one node --> checks --> the new map
 */
#include "redis/nodes_own.h"

#include "base/alloc.h"
#include "base/error.h"
#include "redis/slot_map.h"
#include "wire/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODE_MAP_REFRESH_MS = 15000, /* while all is well */
    NODE_MAP_LOST_MS = 2000      /* so long none tells a map that is believed before the seeds are asked again */
};

void node_map_add_seeds(redis_nodes *nodes)
{
    const redis_places *seeds = &nodes->options.uri->seeds;
    for (size_t i = 0; i < seeds->count; i++)
        (void)nodes_find_or_add(nodes, seeds->at[i].host, seeds->at[i].port); /* without memory: the next time */
}

/* Nodes of a map that cannot be used. They have not been dialled yet. */
static void map_take_back(redis_nodes *nodes, size_t count_before)
{
    while (nodes->count > count_before)
        node_free(nodes->list[--nodes->count]);
}

/* Puts the ranges into `slots`. False: out of memory, or it is no map. */
static bool map_lay_out(redis_nodes *nodes, const redis_node *told_by, const redis_value *map, redis_node **slots)
{
    slot_range range;
    for (size_t i = 0; i < map->count; i++) {
        if (!slot_range_read(map, i, told_by->host, told_by->uri.port, &range))
            return false;
        redis_node *node = nodes_find_or_add(nodes, range.host, range.port);
        if (!node)
            return false;
        snprintf(node->id, sizeof node->id, "%s", range.id);
        for (int slot = range.first; slot <= range.last; slot++)
            slots[slot] = node;
    }
    return true;
}

/* Nodes with slots come to the front of the list; those that nobody has asked for long go. */
static void map_sort_out(redis_nodes *nodes)
{
    size_t kept = 0;
    redis_node **list = nodes->list;
    nodes->with_slots = 0;
    for (size_t i = 0; i < nodes->count; i++) {
        redis_node *node = list[i];
        bool is_guest = nodes_now_ms(nodes) - node->used_at_ms < NODE_GUEST_LIFE_MS;
        if (!node->has_slots && !is_guest) {
            node_free(node);
            continue;
        }
        list[kept++] = node;
        if (node->has_slots) {
            list[kept - 1] = list[nodes->with_slots];
            list[nodes->with_slots++] = node;
        }
    }
    nodes->count = kept;
}

static void map_tell(redis_nodes *nodes)
{
    for (size_t i = 0; i < nodes->with_slots; i++) {
        redis_node *node = nodes->list[i];
        bool has_gained = node->has_gained;
        node->has_gained = false;
        if (has_gained && redis_conn_is_ready(node->conn))
            nodes->options.events.ready(nodes->options.events.arg, node);
    }
}

/* Takes the new map over; tells of each node to which slots have come. */
static void map_take(redis_nodes *nodes, redis_node **slots)
{
    for (size_t i = 0; i < nodes->count; i++)
        nodes->list[i]->has_slots = false;
    for (int slot = 0; slot < KEY_SLOTS; slot++) {
        redis_node *node = slots[slot];
        if (node)
            node->has_slots = true;
        if (node && node != nodes->slots[slot]) {
            slot_holds_end(&nodes->holds, slot);
            node->has_gained = true;
        }
    }
    nodes->version += memcmp(nodes->slots, slots, KEY_SLOTS * sizeof *slots) != 0;
    mem_free(nodes->slots);
    nodes->slots = slots;
    nodes->has_map = true;
    map_sort_out(nodes);
    map_tell(nodes);
    nodes->options.events.resumed(nodes->options.events.arg);
}

static void map_complain(redis_nodes *nodes, const redis_node *node, const char *what, const char *words)
{
    log_event_repeated(nodes->options.log, &nodes->complaint, LOG_REDIS_CONNECTION, "%s (%s:%d): %s%s",
                       nodes->options.name, node->host, node->uri.port, what, words);
}

static bool map_is_covered(const redis_nodes *nodes)
{
    for (int slot = 0; slot < KEY_SLOTS; slot++)
        if (!nodes->slots[slot])
            return false;
    return true;
}

static bool map_is_well(const redis_nodes *nodes)
{
    for (size_t i = 0; i < nodes->with_slots; i++)
        if (!redis_conn_is_ready(nodes->list[i]->conn))
            return false;
    return nodes->has_map && map_is_covered(nodes);
}

/* Nodes that are cut off from the others know less. But those who are most of all are the cluster, even if one has told
 * of an election that they know nothing of. */
static bool map_is_behind(const redis_nodes *nodes, const redis_node *node)
{
    size_t behind = 0;
    for (size_t i = 0; i < nodes->with_slots; i++)
        behind += nodes->list[i]->told_epoch && nodes->list[i]->told_epoch < nodes->epoch;
    return node->told_epoch && node->told_epoch < nodes->epoch && 2 * behind <= nodes->with_slots;
}

/* What the others have told before the election says nothing. */
static void map_set_epoch(redis_nodes *nodes, int64_t epoch)
{
    if (!epoch || epoch == nodes->epoch)
        return;
    nodes->epoch = epoch;
    for (size_t i = 0; i < nodes->count; i++)
        if (nodes->list[i]->told_epoch < epoch)
            nodes->list[i]->told_epoch = 0;
}

/* Why it is not believed; NULL: it is. */
static const char *map_find_fault(const redis_nodes *nodes, const redis_node *node, const redis_value *map)
{
    if (!slot_map_is_sound(map))
        return map->type == REDIS_ARRAY && !map->count ? "its map of slots is empty: no node has a slot yet"
                                                       : "its map of slots cannot be used";
    if (map_is_behind(nodes, node))
        return "its map of slots is not taken: it does not know of the last election, so it is cut off from the others";
    if (!node_ids_meet(&nodes->ids, map))
        return "it belongs to another cluster: none of the nodes that were known is in it. If that is meant, start "
               "this program again";
    return NULL;
}

static void map_read(redis_nodes *nodes, redis_node *node, const redis_value *map)
{
    const char *fault = map_find_fault(nodes, node, map);
    size_t count_before = nodes->count;
    redis_node **slots = fault ? NULL : mem_calloc(KEY_SLOTS, sizeof *slots);
    if (slots && map_lay_out(nodes, node, map, slots)) {
        nodes->lost_since_ms = 0;
        map_set_epoch(nodes, node->told_epoch);
        node_ids_take(&nodes->ids, map);
        map_take(nodes, slots);
        if (!map_is_covered(nodes))
            map_complain(nodes, node, "some slots have no node; queues in them wait", "");
        return;
    }
    mem_free(slots);
    map_take_back(nodes, count_before);
    map_complain(nodes, node, fault ? fault : "its map of slots cannot be used", "");
}

/* ---- when, and from whom ---- */

static void map_set_timer(redis_nodes *nodes, int64_t ms)
{
    nodes->refresh_at_ms = nodes_now_ms(nodes) + ms;
    loop_timer_set(&nodes->refresh, ms);
}

/* Until there is a map nothing can be sent, so who waits is told why. */
static void map_refused(redis_nodes *nodes, redis_node *node, const redis_value *reply, asynq_error *error)
{
    if (nodes->has_map || (error->code != ASYNQ_E_REDIS && error->code != ASYNQ_E_AUTH)) {
        map_complain(nodes, node, "it does not tell the map of slots: ", error->text);
        return;
    }
    if (error->code == ASYNQ_E_REDIS)
        error_set(error, ASYNQ_E_INVALID, "%s:%d is no node of a cluster (%.100s); write redis:// instead", node->host,
                  node->uri.port, reply->text.data);
    nodes->options.events.down(nodes->options.events.arg, node, error);
}

static void map_came(void *arg, const redis_result *result)
{
    redis_node *node = arg;
    redis_nodes *nodes = node->nodes;
    asynq_error error;
    if (!nodes)
        return; /* the time limit goes on */
    nodes->is_reading = false;
    if (!redis_result_check(result, &error))
        map_read(nodes, node, result->reply);
    else if (result->outcome == REDIS_REPLIED)
        map_refused(nodes, node, result->reply, &error);
    map_set_timer(nodes, !map_is_well(nodes) ? NODE_MAP_SEARCH_MS
                         : nodes->is_wanted  ? NODE_MAP_HURRY_MS
                                             : NODE_MAP_REFRESH_MS);
}

/* Told before the map: how much the node knows of what the others have decided. */
static void epoch_came(void *arg, const redis_result *result)
{
    redis_node *node = arg;
    static const char field[] = "cluster_current_epoch:";
    const char *text = result->outcome == REDIS_REPLIED ? result->reply->text.data : NULL;
    const char *at = text ? strstr(text, field) : NULL;
    int64_t epoch = at ? strtoll(at + strlen(field), NULL, 10) : 0;
    if (!node->nodes)
        return;
    node->told_epoch = epoch > 0 ? epoch : 0;
    if (text && !at)
        map_complain(node->nodes, node, "CLUSTER INFO does not tell whether it is cut off, so it is believed: ", text);
}

static bool map_ask(redis_nodes *nodes, redis_node *node)
{
    nodes->is_reading = redis_conn_is_ready(node->conn) &&
                        !redis_conn_commandf(node->conn, epoch_came, node, 2, "CLUSTER", "INFO") &&
                        !redis_conn_commandf(node->conn, map_came, node, 2, "CLUSTER", "SLOTS");
    return nodes->is_reading;
}

/* Also the time limit of one that was asked: the next one is asked, and who answers first is heard. */
static void map_refresh(void *arg)
{
    redis_nodes *nodes = arg;
    int64_t now_ms = nodes_now_ms(nodes);
    if (!nodes->lost_since_ms)
        nodes->lost_since_ms = now_ms;
    else if (now_ms - nodes->lost_since_ms > NODE_MAP_LOST_MS)
        node_map_add_seeds(nodes);
    nodes->is_reading = nodes->is_wanted = false;
    for (size_t i = 0; i < nodes->count && !nodes->is_reading; i++)
        map_ask(nodes, nodes->list[nodes->turn++ % nodes->count]);
    if (!nodes->is_reading)
        node_map_add_seeds(nodes);
    map_set_timer(nodes, NODE_MAP_SEARCH_MS);
}

void node_map_refresh_within(redis_nodes *nodes, int64_t ms)
{
    nodes->is_wanted = true;
    if (nodes->is_reading)
        return; /* its end sets the timer */
    if (!loop_timer_is_set(&nodes->refresh) || nodes_now_ms(nodes) + ms < nodes->refresh_at_ms)
        map_set_timer(nodes, ms);
}

void node_map_init(redis_nodes *nodes)
{
    loop_timer_init(nodes->options.loop, &nodes->refresh, map_refresh, nodes);
}
