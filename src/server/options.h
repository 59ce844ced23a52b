/* A server's options, checked and with their defaults: options.c. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <asynq/server.h>

int server_fill_defaults(asynq_server_options *options, asynq_error *error);
/* Queues and routes of the options' tables. Returns 0, or a status with a text. */
int server_add_tables(asynq_server *server, asynq_error *error);

#endif
