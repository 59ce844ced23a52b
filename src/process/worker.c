/* See worker.h. */
#include "process/worker.h"

#include "base/error.h"
#include "handler/route.h"
#include "process/worker_pools.h"

static asynq_capacity *worker_capacity(handler_host *host, const route *r)
{
    const worker_route *own = r->options;
    return worker_pools_capacity(host, own->pool);
}

static void worker_begin(handler_call *call)
{
    const worker_route *own = call->route->options;
    call->output = &own->output;
    worker_pools_begin(call, own->pool);
}

static void worker_cancel(handler_call *call)
{
    worker_pool_cancel(call);
    handler_fail(call, HANDLER_RETRY, "cancelled", -1, "cancelled");
}

static const setting worker_table[] = {
    {.name = "pool",
     .kind = SETTING_TEXT,
     .offset = offsetof(worker_route, pool),
     .is_needed = true,
     .value = "NAME",
     .example = "python",
     .help = "The pool, one of `workers`. Instead of a mapping the name alone can be given: `worker: python`."},
    {.name = "output",
     .kind = SETTING_GROUP,
     .offset = offsetof(worker_route, output),
     .group = output_table,
     .help =
         "What becomes of what the process writes while it has this task and no other. Whatever else it writes is only "
         "logged."},
    {0},
};

static int worker_prepare(settings *file, settings_node *node, void *target, asynq_error *error)
{
    worker_route *own = target;
    own->origin = settings_place(file, node);
    return own->origin ? ASYNQ_OK : error_set_code(error, ASYNQ_E_NO_MEMORY);
}

const handler_kind handler_worker = {
    .name = "worker",
    .table = worker_table,
    .size = sizeof(worker_route),
    .help = "Hands each task to a process of a pool, which speaks asynqd's worker protocol.",
    .takes_text = true,
    .waits = true,
    .capacity = worker_capacity,
    .prepare = worker_prepare,
    .begin = worker_begin,
    .cancel = worker_cancel,
};
