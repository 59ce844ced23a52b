/* Changes a server while it runs, by its state. */
#include <asynq/server.h>
#include <stdio.h>

void adjust(asynq_server *server, const char *tenant, bool is_hurried)
{
    asynq_error error;
    asynq_server_stats stats;
    asynq_server_get_stats(server, &stats);
    printf("%s, %lld tasks running\n", asynq_server_status(server), (long long)stats.running);
    if (!stats.is_connected)
        fprintf(stderr, "no connection with Redis\n");
    if (asynq_server_set_concurrency(server, stats.running > 10 ? 50 : 10, &error) ||
        asynq_server_queue(server, tenant, 3, &error) || asynq_server_remove_queue(server, "old", &error))
        fprintf(stderr, "%s\n", error.text);
    if (is_hurried)
        asynq_server_shutdown_now(server); /* the shutdown does not wait for running tasks */
}
