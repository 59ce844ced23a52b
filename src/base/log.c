/* See log.h. */
#include "base/log.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_SIZE = 2048, LOG_MIN_PAUSE_MS = 3000, LOG_MINUTE_MS = 60000, LOG_KEPT_FOR_NEW = 2 };

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
    char begin[96];
    snprintf(begin, sizeof begin, "asynq: pid=%d %s.%06d %s: ", (int)getpid(), when,
             (int)(now_ns % NS_PER_SECOND / 1000), asynq_log_level_name(level));
    (void)terminal_line(stderr, begin, "%s", text);
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

static void log_write_line(log_sink *log, asynq_log_level level, char *line)
{
    /* Texts from outside must not forge further lines. */
    for (char *at = line; *at; at++)
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    pthread_mutex_lock(&log->lock);
    log->write(level, line, log->arg);
    pthread_mutex_unlock(&log->lock);
}

const log_event_row log_events[LOG_EVENT_COUNT] = {
#define LOG_EVENT_ROW(id, level, text, meaning) [LOG_##id] = {ASYNQ_LOG_##level, text, meaning},
    LOG_EVENT_MAP(LOG_EVENT_ROW)
#undef LOG_EVENT_ROW
};

/* Returns the length, which is less than the size. */
static size_t log_format(char line[LOG_LINE_SIZE], log_event_id event, const char *format, va_list args)
{
    size_t length = (size_t)snprintf(line, LOG_LINE_SIZE, "%s: ", log_events[event].text);
    vsnprintf(line + length, LOG_LINE_SIZE - length, format, args);
    return length + strlen(line + length);
}

void log_write_event(log_sink *log, asynq_log_level level, log_event_id event, const char *format, ...)
{
    char line[LOG_LINE_SIZE];
    va_list args;
    va_start(args, format);
    log_format(line, event, format, args);
    va_end(args);
    log_write_line(log, level, line);
}

void log_write(log_sink *log, asynq_log_level level, const char *format, ...)
{
    char line[LOG_LINE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log_write_line(log, level, line);
}

/* ---- complaints ---- */

/* Under the lock. */
static bool log_has_room(const log_sink *log, size_t max_lines, int64_t now_ms)
{
    int64_t at_ms = log->repeated_at_ms[(log->next_repeated + LOG_REPEATED_MAX - max_lines) % LOG_REPEATED_MAX];
    return !at_ms || now_ms - at_ms >= LOG_MINUTE_MS;
}

/* The last places of a minute are kept for what has not been said yet. */
static bool log_take_room(log_sink *log, bool is_new, int64_t now_ms)
{
    pthread_mutex_lock(&log->lock);
    bool has_room = log_has_room(log, is_new ? LOG_REPEATED_MAX : LOG_REPEATED_MAX - LOG_KEPT_FOR_NEW, now_ms);
    if (has_room) {
        log->repeated_at_ms[log->next_repeated] = now_ms;
        log->next_repeated = (log->next_repeated + 1) % LOG_REPEATED_MAX;
    }
    pthread_mutex_unlock(&log->lock);
    return has_room;
}

bool log_limit_pass(log_sink *log, log_limit *limit)
{
    int64_t now_ms = clock_steady_ms();
    int64_t min_ms = limit->min_ms ? limit->min_ms : LOG_MIN_PAUSE_MS;
    bool is_new = !limit->seen_at_ms || now_ms - limit->seen_at_ms >= LOG_MINUTE_MS;
    limit->seen_at_ms = now_ms;
    bool is_too_early = limit->written_at_ms && now_ms - limit->written_at_ms < (is_new ? min_ms : limit->pause_ms);
    if (is_too_early || !log_take_room(log, is_new, now_ms)) {
        limit->skipped++;
        return false;
    }
    int64_t doubled_ms = 2 * limit->pause_ms < LOG_MINUTE_MS ? 2 * limit->pause_ms : LOG_MINUTE_MS;
    limit->pause_ms = is_new || doubled_ms < min_ms ? min_ms : doubled_ms;
    limit->written_at_ms = now_ms;
    return true;
}

void log_write_repeated(log_sink *log, log_limit *limit, log_event_id event, const char *format, ...)
{
    char line[LOG_LINE_SIZE];
    va_list args;
    va_start(args, format);
    size_t length = log_format(line, event, format, args);
    va_end(args);
    if (limit->skipped)
        snprintf(line + length, LOG_LINE_SIZE - length, " (%u lines like it were left out)", limit->skipped);
    limit->skipped = 0;
    log_write_line(log, log_events[event].level, line);
}
