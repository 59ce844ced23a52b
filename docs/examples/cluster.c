/* Prints where a Redis Cluster keeps a queue. */
#include <asynq/inspector.h>
#include <stdio.h>

int show_nodes(asynq_inspector *inspector, const char *queue, asynq_error *error)
{
    int slot;
    asynq_cluster_node_list list;
    if (asynq_inspector_key_slot(inspector, queue, &slot, error) ||
        asynq_inspector_cluster_nodes(inspector, queue, &list, error))
        return error->code; /* ASYNQ_E_REDIS: Redis is no cluster */
    for (size_t i = 0; i < list.count; i++)
        printf("slot %d: %s %s\n", slot, i ? "replica" : "master", list.nodes[i].address);
    asynq_cluster_node_list_free(&list);
    return 0;
}
