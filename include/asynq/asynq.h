/* All of libasynq: enqueue tasks (client.h), run them (server.h). */
#ifndef ASYNQ_ASYNQ_H
#define ASYNQ_ASYNQ_H

#include <asynq/client.h>
#include <asynq/error.h>
#include <asynq/log.h>
#include <asynq/server.h>

#endif
