/*
 * The way of log lines out of the process: those who log put them into a queue of bounded size, and a thread of its own
 * writes them. So nobody waits for a pipe that is not read or a journal that hangs; entries without room are dropped
 * and counted.
 */
#ifndef DAEMON_LOG_WRITER_H
#define DAEMON_LOG_WRITER_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct log_writer log_writer;

/* Sends one entry, and may take its time. Thread: the writer's. */
typedef void (*log_writer_send)(bytes entry);

/* With `send_entry` NULL entries are lines for `fd`, which stays the caller's. NULL: out of memory or threads. */
log_writer *log_writer_start(int fd, log_writer_send send_entry);

/* False: there is no room, or no memory for it (then also `data` NULL), and the entry is dropped. Thread: any. */
bool log_writer_add(log_writer *w, bytes entry);
/* Entries that were dropped, and those that `fd` refused, as on a full disk. Thread: any. */
uint64_t log_writer_dropped(log_writer *w);

/*
 * Writes what is left, for as long as somebody takes it, and ends. Nobody may add meanwhile. A thread that is held in
 * the kernel is left there, with its memory. Accepts NULL.
 */
void log_writer_stop(log_writer *w);

#endif
