/* See log.h. */
#include "base/log.h"

#include "base/clock.h"
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

typedef struct log_level_row {
    asynq_log_level level;
    const char *name;
    const char *alias;
} log_level_row;

static const log_level_row log_levels[] = {
    {ASYNQ_LOG_DEBUG, "DEBUG", NULL},
    {ASYNQ_LOG_INFO, "INFO", NULL},
    {ASYNQ_LOG_WARN, "WARN", "WARNING"},
    {ASYNQ_LOG_ERROR, "ERROR", NULL},
};

const char *asynq_log_level_name(asynq_log_level level)
{
    for (size_t i = 0; i < sizeof log_levels / sizeof *log_levels; i++)
        if (log_levels[i].level == level)
            return log_levels[i].name;
    return "?";
}

int asynq_log_level_parse(const char *text, asynq_log_level *level, asynq_error *error)
{
    for (size_t i = 0; i < sizeof log_levels / sizeof *log_levels; i++) {
        const log_level_row *row = &log_levels[i];
        if (strcasecmp(text, row->name) == 0 || (row->alias && strcasecmp(text, row->alias) == 0)) {
            *level = row->level;
            return ASYNQ_OK;
        }
    }
    return error_set(error, ASYNQ_E_INVALID, "unsupported log level \"%s\": use debug, info, warn or error", text);
}

void asynq_log_to_stderr(asynq_log_level level, const char *text, void *arg)
{
    (void)arg;
    int64_t now_ns = clock_now_ns();
    time_t seconds = (time_t)(now_ns / NS_PER_SECOND);
    struct tm parts;
    char when[32];
    gmtime_r(&seconds, &parts);
    strftime(when, sizeof when, "%Y/%m/%d %H:%M:%S", &parts);
    fprintf(stderr, "asynq: pid=%d %s.%06d %s: %s\n", (int)getpid(), when, (int)(now_ns % NS_PER_SECOND / 1000),
            asynq_log_level_name(level), text);
}

void log_init(log_sink *log, asynq_log_cb write, void *arg, asynq_log_level level)
{
    *log = (log_sink){.write = write, .arg = arg, .level = level};
    pthread_mutex_init(&log->lock, NULL);
}

void log_clear(log_sink *log)
{
    pthread_mutex_destroy(&log->lock);
}

void log_write(log_sink *log, asynq_log_level level, const char *format, ...)
{
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    /* Texts from outside must not forge further lines. */
    for (char *at = line; *at; at++)
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    pthread_mutex_lock(&log->lock);
    log->write(level, line, log->arg);
    pthread_mutex_unlock(&log->lock);
}

bool log_limit_pass(log_limit *limit, unsigned *skipped)
{
    int64_t now_ms = clock_steady_ms();
    if (limit->last_at_ms && now_ms - limit->last_at_ms < limit->period_ms) {
        limit->skipped++;
        return false;
    }
    *skipped = limit->skipped;
    limit->last_at_ms = now_ms;
    limit->skipped = 0;
    return true;
}
