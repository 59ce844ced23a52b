/* Tasks stay pending while all database connections are in use. */
#include <asynq/server.h>
#include <stdio.h>

int store(asynq_job *job, void *arg);

int serve_with(int connections)
{
    asynq_capacity *capacity = asynq_capacity_new(connections);
    asynq_route routes[] = {{.pattern = "store:", .handler = store, .capacity = capacity}, {0}};
    int status = capacity ? asynq_serve(&(asynq_server_options){.routes = routes}) : 1;
    asynq_capacity_free(capacity);
    return status;
}

void connections_changed(asynq_capacity *capacity, int connections)
{
    printf("%d of %d are in use\n", asynq_capacity_in_use(capacity), connections);
    asynq_capacity_set_max(capacity, connections);
}
