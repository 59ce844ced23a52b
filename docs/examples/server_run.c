/* Runs a server with routes of a mux until TERM or INT. */
#include <asynq/asynq.h>
#include <stdio.h>

int run(asynq_mux *mux)
{
    asynq_error error;
    asynq_server *server = asynq_server_new(&(asynq_server_options){.mux = mux, .log = asynq_log_to_stderr}, &error);
    int status = server ? asynq_server_run(server, &error) : error.code;
    if (status)
        fprintf(stderr, "%s\n", error.text);
    asynq_server_free(server);
    return status;
}
