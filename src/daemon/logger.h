/*
 * The daemon's log: structured lines on standard error, as logfmt or JSON, or fields in systemd's journal.
 *
 *     time=2026-11-23T06:40:00.123Z level=info msg="attempt completed" task=7f.. queue=low type=email:send ...
 */
#ifndef DAEMON_LOGGER_H
#define DAEMON_LOGGER_H

#include <asynq/log.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

typedef struct log_field {
    const char *name;
    const char *text; /* NULL: a number; "": the field is left out */
    int64_t number;
} log_field;

typedef struct logger {
    pthread_mutex_t lock;
    _Atomic int level; /* asynq_log_level */
    _Atomic int format;
    bool to_journal;
} logger;

/* `format` and `output` as in the configuration. */
void logger_init(logger *log, int format, int output, asynq_log_level level);
void logger_clear(logger *log);
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
