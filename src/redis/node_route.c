/* A command on its way to the node that has its slot. See nodes.h. */
#include "redis/nodes_own.h"

#include "base/alloc.h"
#include "redis/redirect.h"

/* A command in a cluster, until its answer is there. */
typedef struct routed_call {
    redis_nodes *nodes;
    uint64_t version; /* of the map that it was sent by */
    int slot;
    redis_result_cb cb;
    void *arg;
    redis_args *copy; /* of a slot that is moving, for ASK; NULL: none */
    bool is_asked;
} routed_call;

static void routed_free(routed_call *call)
{
    if (call->copy) {
        redis_args_clear(call->copy);
        mem_free(call->copy);
    }
    mem_free(call);
}

static void routed_replied(void *arg, const redis_result *result);

/* MOVED to where it was sent: the name of the place may stand for another machine now, which only a new connection
 * finds out. Not each time: it is of use to other slots. */
static void routed_doubt(const routed_call *call, const redis_redirect *redirect, redis_node *from)
{
    enum { ROUTE_DOUBT_PERIOD_MS = 10000 };
    int64_t now_ms = nodes_now_ms(call->nodes);
    bool is_circle = from && !call->is_asked && call->version == call->nodes->version &&
                     node_is_at(from, redirect->host[0] ? redirect->host : from->host, redirect->port);
    if (!is_circle || (from->doubted_at_ms && now_ms - from->doubted_at_ms < ROUTE_DOUBT_PERIOD_MS))
        return;
    from->doubted_at_ms = now_ms;
    redis_conn_reset(from->conn, "it says of a slot that it is where we have asked for it");
}

/* ASKING holds for the one command behind it. False: that node cannot be asked now. */
static bool routed_ask(routed_call *call, const redis_redirect *redirect, const redis_node *from)
{
    redis_nodes *nodes = call->nodes;
    redis_node *node = call->copy && !call->is_asked && redirect->port
                           ? nodes_find_or_add(nodes, redirect->host[0] ? redirect->host : from->host, redirect->port)
                           : NULL;
    if (!node)
        return false;
    node->used_at_ms = nodes_now_ms(nodes);
    if (!redis_conn_is_ready(node->conn) || redis_conn_commandf(node->conn, NULL, NULL, 1, "ASKING"))
        return false;
    call->is_asked = true;
    return !redis_conn_command(node->conn, call->copy, routed_replied, call);
}

/* True: it is under way again. */
static bool routed_redirect(routed_call *call, const redis_value *answer)
{
    redis_nodes *nodes = call->nodes;
    const redis_redirect redirect = redis_redirect_of(answer);
    redis_node *from = nodes->slots[call->slot];
    if (redirect.kind == REDIRECT_ASK && from && routed_ask(call, &redirect, from))
        return true;
    if (redirect.kind == REDIRECT_MOVED)
        routed_doubt(call, &redirect, from);
    slot_holds_begin(&nodes->holds, call->slot, redirect.kind != REDIRECT_MOVED);
    if (redirect.kind != REDIRECT_ASK)
        node_map_refresh_within(nodes, NODE_MAP_HURRY_MS);
    return false;
}

static void routed_replied(void *arg, const redis_result *result)
{
    routed_call *call = arg;
    if (result->redirect && redis_redirect_of(result->redirect).kind != REDIRECT_NONE &&
        routed_redirect(call, result->redirect))
        return;
    if (call->cb)
        call->cb(call->arg, result);
    routed_free(call);
}

static redis_args *routed_copy(const redis_args *args)
{
    redis_args *copy = mem_alloc(sizeof *copy);
    if (!copy)
        return NULL;
    redis_args_init(copy);
    for (int i = 0; i < args->count; i++)
        redis_args_add_copy(copy, (bytes){args->argv[i], args->lengths[i]});
    return copy;
}

int node_route(redis_nodes *nodes, int slot, const redis_args *args, redis_result_cb cb, void *arg)
{
    if (!redis_nodes_is_ready(nodes, slot))
        return ASYNQ_E_UNAVAILABLE;
    routed_call *call = mem_alloc(sizeof *call);
    if (!call)
        return ASYNQ_E_NO_MEMORY;
    *call = (routed_call){.nodes = nodes, .version = nodes->version, .slot = slot, .cb = cb, .arg = arg};
    if (slot_holds_is_moving(&nodes->holds, slot))
        call->copy = routed_copy(args); /* without one it is tried again later */
    int status = redis_conn_command(nodes->slots[slot]->conn, args, routed_replied, call);
    if (status)
        routed_free(call);
    return status;
}
