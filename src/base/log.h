/* Log lines on their way to the user's callback. Each client and each server has one log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/log_events.h"

#include <asynq/log.h>
#include <pthread.h>
#include <stdint.h>

enum { LOG_REPEATED_MAX = 8 }; /* lines of all complaints of a log together, in any minute */

typedef struct log_sink {
    asynq_log_cb write;
    void *arg;
    asynq_log_level level;                    /* lines below it are dropped before they are formatted */
    pthread_mutex_t lock;                     /* one line at a time */
    int64_t repeated_at_ms[LOG_REPEATED_MAX]; /* when the last complaints were written; steady clock, 0: never */
    size_t next_repeated;                     /* the place of the oldest */
} log_sink;

/*
 * A complaint that comes again and again while a fault lasts. It is written at once, then after 3 s, after 6 s more,
 * and so on, in the end once a minute, with the number of those that were left out. After a minute without one it
 * begins anew. Zeroed before its first use; its owner sees to it that one thread uses it at a time.
 */
typedef struct log_limit {
    int64_t min_ms;                    /* another shortest time than 3 s; 0: that one */
    int64_t pause_ms;                  /* what it is now */
    int64_t written_at_ms, seen_at_ms; /* steady clock, 0: never */
    unsigned skipped;
} log_limit;

void log_init(log_sink *log, asynq_log_cb write, void *arg, asynq_log_level level);
void log_clear(log_sink *log);

typedef struct log_event_row {
    asynq_log_level level;
    const char *text, *meaning;
} log_event_row;

extern const log_event_row log_events[LOG_EVENT_COUNT];

static inline bool log_wants(const log_sink *log, asynq_log_level level)
{
    return log->write && level >= log->level;
}

/* For developers; not an event, and not promised. The level is tested before arguments are built, as below. */
#define log_debug(log, ...)                                                                                            \
    do {                                                                                                               \
        if (log_wants(log, ASYNQ_LOG_DEBUG))                                                                           \
            log_write(log, ASYNQ_LOG_DEBUG, __VA_ARGS__);                                                              \
    } while (0)

/* "lease lost: task 1 of queue ...": the event's text, and what it concerns. */
#define log_event(log, event, ...) log_event_at(log, log_events[event].level, event, __VA_ARGS__)

/* With another level than the event has. */
#define log_event_at(log, at, event, ...)                                                                              \
    do {                                                                                                               \
        if (log_wants(log, at))                                                                                        \
            log_write_event(log, at, event, __VA_ARGS__);                                                              \
    } while (0)

#define log_event_repeated(log, limit, event, ...)                                                                     \
    do {                                                                                                               \
        if (log_wants(log, log_events[event].level) && log_limit_pass(log, limit))                                     \
            log_write_repeated(log, limit, event, __VA_ARGS__);                                                        \
    } while (0)

/* For the macros. */
void log_write(log_sink *log, asynq_log_level level, const char *format, ...) ASYNQ_PRINTF(3, 4);
void log_write_event(log_sink *log, asynq_log_level level, log_event_id event, const char *format, ...)
    ASYNQ_PRINTF(4, 5);
bool log_limit_pass(log_sink *log, log_limit *limit);
void log_write_repeated(log_sink *log, log_limit *limit, log_event_id event, const char *format, ...)
    ASYNQ_PRINTF(4, 5);

#endif
