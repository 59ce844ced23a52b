/* See worker_pools.h. */
#include "process/worker_pools.h"

#include "base/alloc.h"

#include <string.h>

typedef struct named_pool {
    const char *name;
    worker_pool *pool;
} named_pool;

struct worker_pools {
    named_pool *items;
    size_t count;
    size_t unstopped; /* while it stops */
    void (*done)(void *arg);
    void *arg;
};

static worker_pool *worker_pools_find_pool(const worker_pools *pools, const char *name)
{
    for (size_t i = 0; pools && i < pools->count; i++)
        if (strcmp(pools->items[i].name, name) == 0)
            return pools->items[i].pool;
    return NULL;
}

/* ---- beginning and end ---- */

static bool worker_pools_add_pool(worker_pools *pools, handler_host *host, const worker_options *options)
{
    worker_pool *pool = worker_pool_new(host, options);
    if (pool)
        pools->items[pools->count++] = (named_pool){options->name, pool};
    return pool;
}

worker_pools *worker_pools_new(handler_host *host, const worker_list *list)
{
    worker_pools *pools = mem_calloc(1, sizeof *pools);
    if (!pools)
        return NULL;
    bool is_made = (pools->items = mem_calloc(list->count + 1, sizeof *pools->items));
    for (size_t i = 0; is_made && i < list->count; i++)
        is_made = worker_pools_add_pool(pools, host, &list->items[i]);
    if (!is_made) {
        worker_pools_free(pools);
        return NULL;
    }
    for (size_t i = 0; i < pools->count; i++)
        worker_pool_start(pools->items[i].pool);
    return pools;
}

static void one_stopped(void *arg)
{
    worker_pools *pools = arg;
    if (--pools->unstopped == 0)
        pools->done(pools->arg);
}

void worker_pools_stop(worker_pools *pools, void (*done)(void *arg), void *arg)
{
    pools->done = done;
    pools->arg = arg;
    pools->unstopped = pools->count + 1; /* and this function */
    for (size_t i = 0; i < pools->count; i++)
        worker_pool_stop(pools->items[i].pool, one_stopped, pools);
    one_stopped(pools);
}

void worker_pools_free(worker_pools *pools)
{
    if (!pools)
        return;
    for (size_t i = 0; i < pools->count; i++)
        worker_pool_free(pools->items[i].pool);
    mem_free(pools->items);
    mem_free(pools);
}

/* ---- tasks ---- */

void worker_pools_begin(handler_call *call, const char *name)
{
    worker_pool *pool = worker_pools_find_pool(call->host->workers, name);
    if (pool)
        worker_pool_begin(pool, call);
    else
        handler_fail(call, HANDLER_RETRY, "start", -1, "there is no worker pool \"%s\"", name);
}

asynq_capacity *worker_pools_capacity(const handler_host *host, const char *name)
{
    const worker_pool *pool = worker_pools_find_pool(host->workers, name);
    return pool ? worker_pool_capacity(pool) : NULL;
}

/* ---- processes ---- */

void worker_pools_refresh(worker_pools *pools, const worker_list *list)
{
    for (size_t i = 0; i < pools->count && i < list->count; i++)
        worker_pool_refresh(pools->items[i].pool, list->items[i].stamp);
}

bool worker_pools_restart(worker_pools *pools, const char *name)
{
    worker_pool *pool = worker_pools_find_pool(pools, name);
    if (pool)
        worker_pool_renew(pool);
    return pool;
}

size_t worker_pools_count(const worker_pools *pools)
{
    return pools->count;
}

worker_pool_state worker_pools_state(const worker_pools *pools, size_t index)
{
    return worker_pool_get_state(pools->items[index].pool);
}

size_t worker_pools_each(worker_pools *pools, void (*visit)(worker_process *process, void *arg), void *arg)
{
    size_t count = 0;
    for (size_t i = 0; i < pools->count; i++)
        count += worker_pool_each(pools->items[i].pool, visit, arg);
    return count;
}
