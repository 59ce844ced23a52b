/* Where a queue is in a Redis Cluster. */
#include "inspect/record.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>

int asynq_inspector_key_slot(asynq_inspector *inspector, const char *queue, int *slot, asynq_error *error)
{
    queue_keys keys;
    int status = inspect_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    const bytes words[] = {bytes_of("CLUSTER"), bytes_of("KEYSLOT"), keys.key[QUEUE_KEY_PENDING]};
    const redis_value *reply;
    status = inspect_command(inspector, INSPECT_READ, words, 3, &reply, error);
    if (!status)
        *slot = (int)redis_value_integer(reply);
    queue_keys_clear(&keys);
    return status;
}

/* The range of a reply to CLUSTER SLOTS in which a slot is: first, last, then nodes. NULL: none. */
static const redis_value *find_range(const redis_value *ranges, int slot)
{
    for (size_t i = 0; i < ranges->count; i++) {
        const redis_value *range = &ranges->elements[i];
        if (redis_value_integer(redis_value_at(range, 0)) <= slot &&
            slot <= redis_value_integer(redis_value_at(range, 1)))
            return range;
    }
    return NULL;
}

/* A node is its host, port, id, and more. */
static asynq_cluster_node read_node(const redis_value *node, arena *into, bool *failed)
{
    static const redis_value empty = {.type = REDIS_STRING};
    const redis_value *host = redis_value_at(node, 0), *id = redis_value_at(node, 2);
    char port[24];
    snprintf(port, sizeof port, ":%" PRId64, redis_value_integer(redis_value_at(node, 1)));
    buf address;
    buf_init(&address, 0);
    buf_append(&address, host ? host->text.data : "", host ? host->text.length : 0);
    buf_append_text(&address, port);
    *failed |= buf_failed(&address);
    asynq_cluster_node read = {
        .id = inspect_copy(into, (id ? id : &empty)->text, failed),
        .address = inspect_copy(into, (bytes){address.data, address.length}, failed),
    };
    buf_clear(&address);
    return read;
}

static int take_range(const redis_value *range, asynq_cluster_node_list *list, asynq_error *error)
{
    enum { BEFORE_NODES = 2 };
    size_t count = range->count > BEFORE_NODES ? range->count - BEFORE_NODES : 0;
    asynq_memory *memory = inspect_memory_new();
    asynq_cluster_node *nodes = memory ? arena_alloc(&memory->arena, (count + 1) * sizeof *nodes) : NULL;
    bool failed = !nodes;
    for (size_t i = 0; !failed && i < count; i++)
        nodes[i] = read_node(&range->elements[BEFORE_NODES + i], &memory->arena, &failed);
    if (failed) {
        inspect_memory_free(memory);
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    }
    *list = (asynq_cluster_node_list){nodes, count, memory};
    return ASYNQ_OK;
}

int asynq_inspector_cluster_nodes(asynq_inspector *inspector, const char *queue, asynq_cluster_node_list *list,
                                  asynq_error *error)
{
    int slot;
    *list = (asynq_cluster_node_list){0};
    int status = asynq_inspector_key_slot(inspector, queue, &slot, error);
    if (status)
        return status;
    const bytes words[] = {bytes_of("CLUSTER"), bytes_of("SLOTS")};
    const redis_value *ranges;
    status = inspect_command(inspector, INSPECT_READ, words, 2, &ranges, error);
    if (status)
        return status;
    const redis_value *range = find_range(ranges, slot);
    if (!range)
        return error_set(error, ASYNQ_E_NOT_FOUND, "no node of the cluster has slot %d of queue \"%.150s\"", slot,
                         queue);
    return take_range(range, list, error);
}
