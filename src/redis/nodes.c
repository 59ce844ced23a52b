/* See nodes.h. */
#include "redis/nodes_own.h"

#include "base/alloc.h"
#include "wire/keys.h"

#include <stdio.h>
#include <string.h>

/* ---- a node ---- */

static void nodes_node_ready(void *arg)
{
    redis_node *node = arg;
    redis_nodes *nodes = node->nodes;
    if (node->has_slots)
        nodes->options.events.ready(nodes->options.events.arg, node);
    if (nodes->slots && (!nodes->has_map || nodes->lost_since_ms))
        node_map_refresh_within(nodes, 0);
}

static void node_down(void *arg, const asynq_error *error)
{
    redis_node *node = arg;
    redis_nodes *nodes = node->nodes;
    if (nodes->slots)
        node_map_refresh_within(nodes, NODE_MAP_SEARCH_MS);
    if (node->has_slots || !nodes->has_map)
        nodes->options.events.down(nodes->options.events.arg, node, error);
}

static void node_resumed(void *arg)
{
    redis_nodes *nodes = ((redis_node *)arg)->nodes;
    nodes->options.events.resumed(nodes->options.events.arg);
}

static void node_destroy(void *arg)
{
    mem_free(arg);
}

void node_free(redis_node *node)
{
    loop *l = node->nodes->options.loop;
    node->nodes->sent_by_gone += redis_conn_commands_sent(node->conn);
    if (node->nodes->options.events.gone)
        node->nodes->options.events.gone(node->nodes->options.events.arg, node);
    node->nodes = NULL;
    redis_conn_free(node->conn);
    node->conn = NULL;
    loop_defer(l, &node->end, node_destroy, node);
}

bool node_is_at(const redis_node *node, const char *host, int port)
{
    return strcmp(node->host, host) == 0 && node->uri.port == port;
}

/* A connection to what the URI names, or to a node of the cluster at this place. NULL: out of memory. */
static redis_node *node_new(redis_nodes *nodes, const char *host, int port)
{
    const redis_nodes_options *o = &nodes->options;
    redis_node *node = mem_calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->uri = *o->uri;
    node->nodes = nodes;
    node->used_at_ms = -NODE_GUEST_LIFE_MS;
    if (host) {
        snprintf(node->host, sizeof node->host, "%s", host);
        node->uri.host = node->host;
        node->uri.port = port;
    }
    node->conn = redis_conn_new(&(redis_conn_options){
        .loop = o->loop,
        .uri = &node->uri,
        .log = o->log,
        .name = o->name,
        .key_prefix = o->key_prefix,
        .in_cluster = nodes->slots != NULL,
        .node_id = node->id,
        .events = {.ready = nodes_node_ready, .down = node_down, .resumed = node_resumed, .arg = node}});
    if (node->conn)
        return node;
    mem_free(node);
    return NULL;
}

static redis_node *nodes_add(redis_nodes *nodes, const char *host, int port)
{
    redis_node **list = nodes->count < NODES_MAX ? mem_realloc(nodes->list, (nodes->count + 1) * sizeof *list) : NULL;
    if (!list)
        return NULL;
    nodes->list = list;
    redis_node *node = node_new(nodes, host, port);
    if (node)
        list[nodes->count++] = node;
    return node;
}

static redis_node *nodes_find(redis_nodes *nodes, const char *host, int port)
{
    for (size_t i = 0; i < nodes->count; i++)
        if (node_is_at(nodes->list[i], host, port))
            return nodes->list[i];
    return NULL;
}

redis_node *nodes_find_or_add(redis_nodes *nodes, const char *host, int port)
{
    redis_node *node = nodes_find(nodes, host, port);
    return node ? node : nodes_add(nodes, host, port);
}

/* ---- commands ---- */

static bytes args_key(const redis_args *args)
{
    int at = args->script ? REDIS_SCRIPT_KEYS : 1;
    return at < args->count ? (bytes){args->argv[at], args->lengths[at]} : bytes_of("");
}

int redis_nodes_command(redis_nodes *nodes, const redis_args *args, redis_result_cb cb, void *arg)
{
    if (!nodes->slots)
        return redis_conn_command(nodes->list[0]->conn, args, cb, arg);
    if (args->node)
        return redis_conn_command(args->node->conn, args, cb, arg);
    return args->failed ? ASYNQ_E_NO_MEMORY : node_route(nodes, key_slot(args_key(args)), args, cb, arg);
}

redis_args *redis_nodes_args(redis_nodes *nodes)
{
    redis_args_reset(&nodes->args);
    return &nodes->args;
}

redis_args *redis_nodes_script_args(redis_nodes *nodes, script_id script, int key_count)
{
    redis_args *args = redis_nodes_args(nodes);
    redis_args_begin_script(args, script, key_count);
    return args;
}

int redis_nodes_ping(redis_nodes *nodes, redis_result_cb cb, void *arg)
{
    redis_args *args = redis_nodes_args(nodes);
    redis_args_add_text(args, "PING");
    return redis_nodes_command(nodes, args, cb, arg);
}

/* ---- the whole ---- */

bool redis_nodes_is_ready(const redis_nodes *nodes, int slot)
{
    const redis_node *node = nodes ? redis_nodes_at(nodes, slot) : NULL;
    return node && redis_conn_is_ready(node->conn) && (!nodes->slots || !slot_holds_is_held(&nodes->holds, slot));
}

bool redis_nodes_is_any_ready(const redis_nodes *nodes)
{
    for (size_t i = 0; nodes && i < nodes->with_slots; i++)
        if (redis_conn_is_ready(nodes->list[i]->conn))
            return true;
    return false;
}

redis_node *redis_nodes_at(const redis_nodes *nodes, int slot)
{
    return nodes->slots ? nodes->slots[slot] : nodes->list[0];
}

size_t redis_nodes_count(const redis_nodes *nodes)
{
    return nodes->with_slots;
}

redis_node *redis_nodes_get(const redis_nodes *nodes, size_t index)
{
    return nodes->list[index];
}

void redis_nodes_slot_left(redis_nodes *nodes)
{
    if (nodes->slots)
        node_map_refresh_within(nodes, NODE_MAP_HURRY_MS);
}

uint64_t redis_nodes_version(const redis_nodes *nodes)
{
    return nodes->version;
}

bool redis_nodes_is_cluster(const redis_nodes *nodes)
{
    return nodes->slots != NULL;
}

void redis_nodes_flush(redis_nodes *nodes)
{
    for (size_t i = 0; i < nodes->count; i++)
        redis_conn_flush(nodes->list[i]->conn);
}

void redis_nodes_reset(redis_nodes *nodes, const char *reason)
{
    for (size_t i = 0; i < nodes->count; i++)
        redis_conn_reset(nodes->list[i]->conn, reason);
}

int64_t redis_nodes_commands_sent(const redis_nodes *nodes)
{
    int64_t sent = nodes->sent_by_gone;
    for (size_t i = 0; i < nodes->count; i++)
        sent += redis_conn_commands_sent(nodes->list[i]->conn);
    return sent;
}

static void nodes_hold_over(void *arg)
{
    redis_nodes *nodes = arg;
    nodes->options.events.resumed(nodes->options.events.arg);
}

/* Nodes that the URI names. */
static bool nodes_begin(redis_nodes *nodes)
{
    const redis_nodes_options *o = &nodes->options;
    if (!o->uri->seeds.count) {
        redis_node *only = nodes_add(nodes, NULL, 0);
        nodes->with_slots = 1;
        return only && (only->has_slots = true);
    }
    nodes->slots = mem_calloc(KEY_SLOTS, sizeof *nodes->slots);
    if (!nodes->slots)
        return false;
    node_map_add_seeds(nodes);
    return nodes->count > 0;
}

static void nodes_destroy(void *arg)
{
    redis_nodes *nodes = arg;
    redis_args_clear(&nodes->args);
    node_ids_clear(&nodes->ids);
    mem_free(nodes->slots);
    mem_free(nodes->list);
    mem_free(nodes);
}

redis_nodes *redis_nodes_new(const redis_nodes_options *options)
{
    redis_nodes *nodes = mem_calloc(1, sizeof *nodes);
    if (!nodes)
        return NULL;
    nodes->options = *options;
    redis_args_init(&nodes->args);
    node_map_init(nodes);
    slot_holds_init(&nodes->holds, options->loop, nodes_hold_over, nodes);
    if (nodes_begin(nodes))
        return nodes;
    redis_nodes_free(nodes);
    return NULL;
}

/* The connections' last results are told by then. */
void redis_nodes_free(redis_nodes *nodes)
{
    if (!nodes)
        return;
    loop_timer_cancel(&nodes->refresh);
    slot_holds_clear(&nodes->holds);
    nodes->options.events.gone = NULL;
    for (size_t i = 0; i < nodes->count; i++)
        node_free(nodes->list[i]);
    nodes->count = nodes->with_slots = 0;
    loop_defer(nodes->options.loop, &nodes->end, nodes_destroy, nodes);
}
