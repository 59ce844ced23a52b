/* Running a server in the foreground. */
#include "base/error.h"
#include "base/signals.h"
#include "base/thread.h"
#include "server/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* A shutdown that waits for running tasks, while its caller waits for signals. */
typedef struct serve_shutdown {
    asynq_server *server;
    pthread_t caller;
    _Atomic bool has_ended;
} serve_shutdown;

static void *serve_shut_down(void *arg)
{
    serve_shutdown *own = arg;
    asynq_server_shutdown(own->server);
    own->has_ended = true;
    pthread_kill(own->caller, SIGTERM); /* so that it waits no more */
    return NULL;
}

static void serve_end(asynq_server *server, const signals *taken)
{
    serve_shutdown own = {.server = server, .caller = pthread_self()};
    pthread_t thread;
    if (thread_start(&thread, serve_shut_down, &own, NULL)) {
        asynq_server_shutdown(server);
        return;
    }
    while (!own.has_ended)
        if (signals_wait(taken) != SIGTSTP && !own.has_ended)
            asynq_server_shutdown_now(server);
    pthread_join(thread, NULL);
    signals_forget(taken); /* the thread's own may have come late */
}

int asynq_server_run(asynq_server *server, asynq_error *error)
{
    signals taken;
    signals_take(&taken, (const int[]){SIGTERM, SIGINT, SIGTSTP, 0});
    int status = asynq_server_start(server, error);
    if (!status) {
        while (signals_wait(&taken) == SIGTSTP)
            asynq_server_stop(server);
        serve_end(server, &taken);
    }
    signals_give_back(&taken);
    return status;
}

int server_serve(const asynq_server_options *options, const asynq_sizes *sizes)
{
    asynq_error error;
    asynq_server_options with_log = options ? *options : (asynq_server_options){0};
    if (!with_log.log)
        with_log.log = asynq_log_to_stderr;
    asynq_server *server = asynq_server_new(&with_log, &error);
    if (server)
        server->sizes = sizes;
    int status = server ? asynq_server_run(server, &error) : error.code;
    if (status)
        with_log.log(ASYNQ_LOG_ERROR, error.text, with_log.log_arg);
    asynq_server_free(server);
    return status ? 1 : 0;
}

int asynq_serve(const asynq_server_options *options)
{
    return server_serve(options, NULL);
}
