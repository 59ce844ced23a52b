/* <asynq/server.h> for programs with structs of other sizes: see base/structs.h. */
#include "base/error.h"
#include "base/structs.h"
#include "server/aggregation.h"
#include "server/server.h"

int asynq_mux_handle_sized(const asynq_sizes *sizes, asynq_mux *mux, const asynq_route *route, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    route = structs_argument(&call, STRUCT_ROUTE, route, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_mux_handle(mux, route, error);
    return structs_end(&call, status, error);
}

int asynq_server_handle_sized(const asynq_sizes *sizes, asynq_server *server, const asynq_route *route,
                              asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    route = structs_argument(&call, STRUCT_ROUTE, route, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_server_handle(server, route, error);
    return structs_end(&call, status, error);
}

asynq_server *asynq_server_new_sized(const asynq_sizes *sizes, const asynq_server_options *options, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    options = structs_argument(&call, STRUCT_SERVER_OPTIONS, options, 1);
    int status = structs_status(&call, error);
    asynq_server *server = status ? NULL : asynq_server_new(options, error);
    if (server)
        server->sizes = sizes;
    structs_end(&call, status, error);
    return server;
}

int asynq_serve_sized(const asynq_sizes *sizes, const asynq_server_options *options)
{
    structs_call call;
    asynq_error error;
    structs_begin(&call, sizes);
    options = structs_argument(&call, STRUCT_SERVER_OPTIONS, options, 1);
    int status = structs_status(&call, &error);
    if (status)
        asynq_log_to_stderr(ASYNQ_LOG_ERROR, error.text, NULL);
    else
        status = server_serve(options, sizes);
    structs_end(&call, status, &error);
    return status ? 1 : 0;
}

void asynq_server_get_stats_sized(const asynq_sizes *sizes, const asynq_server *server, asynq_server_stats *stats)
{
    structs_call call;
    structs_begin(&call, sizes);
    asynq_server_stats *own = structs_result(&call, STRUCT_SERVER_STATS, stats, 1);
    if (own)
        asynq_server_get_stats(server, own);
    structs_end(&call, ASYNQ_OK, NULL);
}

/* ---- groups ---- */

const asynq_task *asynq_aggregation_task_sized(const asynq_sizes *sizes, const asynq_aggregation *aggregation,
                                               size_t index)
{
    return structs_kept(sizes, STRUCT_TASK, asynq_aggregation_task(aggregation, index),
                        &((asynq_aggregation *)(uintptr_t)aggregation)->memory);
}

int asynq_aggregate_into_sized(const asynq_sizes *sizes, asynq_aggregation *aggregation, const asynq_task *task,
                               asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    task = structs_argument(&call, STRUCT_TASK, task, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_aggregate_into(aggregation, task, error);
    return structs_end(&call, status, error);
}
