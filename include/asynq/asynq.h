/*
 * All of libasynq: enqueue tasks (client.h), also periodic ones (scheduler.h, cron.h), run them (server.h), look at
 * them and manage them (inspector.h), find what is broken and repair it (fsck.h).
 */
#ifndef ASYNQ_ASYNQ_H
#define ASYNQ_ASYNQ_H

#include <asynq/client.h>
#include <asynq/cron.h>
#include <asynq/error.h>
#include <asynq/fsck.h>
#include <asynq/inspector.h>
#include <asynq/log.h>
#include <asynq/scheduler.h>
#include <asynq/semaphore.h>
#include <asynq/server.h>
#include <asynq/version.h>

#endif
