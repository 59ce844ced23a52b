/*
 * The daemon's log: structured lines on standard error, as logfmt or JSON, or fields in systemd's journal. Whoever logs
 * never waits for them to be written: see log_writer.h. Texts are made UTF-8, and cut where they are very long.
 *
 *     time=2026-11-23T06:40:00.123Z level=info msg="attempt completed" task=7f.. queue=low type=email:send ...
 */
#ifndef DAEMON_LOGGER_H
#define DAEMON_LOGGER_H

#include "daemon/log_writer.h"

#include <asynq/log.h>
#include <stddef.h>
#include <stdint.h>

typedef struct log_field {
    const char *name;
    const char *text; /* NULL: a number; "": the field is left out */
    int64_t number;
} log_field;

typedef struct logger {
    log_writer *writer;
    _Atomic int level; /* asynq_log_level */
    _Atomic int format;
    bool to_journal;
    _Atomic uint64_t told_dropped; /* lines whose loss was logged */
    _Atomic int64_t told_at_ms;    /* steady clock */
} logger;

/* `format` and `output` as in the configuration. Returns 0 or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int logger_init(logger *log, int format, int output, asynq_log_level level);
/* Waits a moment for lines to be written. */
void logger_clear(logger *log);
/* Lines that were dropped, as nobody read them in time. Thread: any. */
uint64_t logger_dropped(const logger *log);
/* Thread: any. */
void logger_set_level(logger *log, asynq_log_level level);

/* Thread: any. */
void logger_write(logger *log, asynq_log_level level, const char *message, const log_field *fields, size_t count);

/* For lines of the library: an asynq_log_cb. Its argument says who speaks. */
typedef struct log_source {
    logger *log;
    const char *component; /* "server" */
} log_source;
void logger_line(asynq_log_level level, const char *text, void *source);

#endif
