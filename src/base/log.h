/* Log lines on their way to the user's callback. Each client and each server has one log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <asynq/log.h>
#include <pthread.h>
#include <stdint.h>

typedef struct log_sink {
    asynq_log_cb write;
    void *arg;
    asynq_log_level level; /* lines below it are dropped before they are formatted */
    pthread_mutex_t lock;  /* one line at a time */
} log_sink;

/* A repeated complaint: at most one line in each period, with the number of those left out. */
typedef struct log_limit {
    int64_t period_ms;
    int64_t last_at_ms; /* steady clock */
    unsigned skipped;
} log_limit;

void log_init(log_sink *log, asynq_log_cb write, void *arg, asynq_log_level level);
void log_clear(log_sink *log);

#define log_debug(log, ...) log_at(log, ASYNQ_LOG_DEBUG, __VA_ARGS__)
#define log_info(log, ...) log_at(log, ASYNQ_LOG_INFO, __VA_ARGS__)
#define log_warn(log, ...) log_at(log, ASYNQ_LOG_WARN, __VA_ARGS__)
#define log_error(log, ...) log_at(log, ASYNQ_LOG_ERROR, __VA_ARGS__)

/* The level is tested before arguments are built. */
#define log_at(log, at, ...)                                                                                           \
    do {                                                                                                               \
        if (log_wants(log, at))                                                                                        \
            log_write(log, at, __VA_ARGS__);                                                                           \
    } while (0)

static inline bool log_wants(const log_sink *log, asynq_log_level level)
{
    return log->write && level >= log->level;
}

void log_write(log_sink *log, asynq_log_level level, const char *format, ...) ASYNQ_PRINTF(3, 4);

/* True if a line may be written now; `*skipped` says how many were left out since the last one. */
bool log_limit_pass(log_limit *limit, unsigned *skipped);

#endif
