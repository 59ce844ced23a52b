/*
 * The last bound on the end of asynqd: tasks and attempts have been seen to, and what is left is to free. A thread that
 * reads from a disk that hangs, or waits for a name, would keep the process for ever; so it exits without that thread.
 */
#ifndef DAEMON_EXIT_TIMER_H
#define DAEMON_EXIT_TIMER_H

#include "base/log.h"

typedef struct exit_timer exit_timer;

/* After `timeout_ms` the log is told and the process exits with `status`. NULL: no memory or no thread; it waits then.
 */
exit_timer *exit_timer_start(log_sink *log, int64_t timeout_ms, int status);
/* Accepts NULL. */
void exit_timer_stop(exit_timer *timer);

#endif
