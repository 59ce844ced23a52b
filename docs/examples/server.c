/* A server in a program that has other things to do. */
#include <asynq/asynq.h>
#include <stdio.h>

int email(asynq_job *job, void *arg);
void other_work(void);

int main(void)
{
    asynq_error error;
    asynq_server *server = asynq_server_new(
        &(asynq_server_options){.redis = "redis://127.0.0.1:6379", .log = asynq_log_to_stderr}, &error);
    asynq_route route = {.pattern = "email:", .handler = email, .kind = ASYNQ_HANDLER_THREAD};
    if (!server || asynq_server_queue(server, "default", 1, &error) || asynq_server_handle(server, &route, &error) ||
        asynq_server_start(server, &error) || asynq_server_ping(server, ASYNQ_SECONDS(5), &error)) {
        fprintf(stderr, "%s\n", error.text);
        asynq_server_free(server);
        return 1;
    }
    other_work();
    asynq_server_stop(server); /* no new tasks; running ones continue */
    asynq_server_shutdown(server);
    asynq_server_free(server);
    return 0;
}
