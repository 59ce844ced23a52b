/*
 * The scheduler of the schedule file. Starting it reads the file, which may be long, or on a disk that hangs; ending it
 * may wait for Redis. Thread: any, one at a time, and not that of the loop while tasks are served.
 */
#ifndef DAEMON_FILE_SCHEDULE_H
#define DAEMON_FILE_SCHEDULE_H

#include "daemon/config.h"
#include "daemon/logger.h"

typedef struct file_schedule file_schedule;

/* The configuration has a schedule file. NULL with `error`, which tells of a mistake in it. */
file_schedule *file_schedule_start(const config *c, logger *log, asynq_error *error);
/* Nothing is enqueued any more. A thread of its own sees to the rest, which may wait for Redis or a disk. */
void file_schedule_begin_end(file_schedule *s);
/* Waits for that thread. False: a file holds it. Then it stays behind with its memory, and `s` is its own. */
bool file_schedule_await_end(file_schedule *s, int64_t timeout_ms);
/* Accepts NULL. */
void file_schedule_free(file_schedule *s);

#endif
