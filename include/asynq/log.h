/*
 * Logging. The library prints nothing on its own: it hands each line to a callback. Without one it is silent,
 * except in asynq_serve(), which uses asynq_log_to_stderr().
 */
#ifndef ASYNQ_LOG_H
#define ASYNQ_LOG_H

#include <asynq/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero is INFO, so that a zeroed option struct logs as Asynq does by default. */
typedef enum asynq_log_level {
    ASYNQ_LOG_DEBUG = -1,
    ASYNQ_LOG_INFO = 0,
    ASYNQ_LOG_WARN = 1,
    ASYNQ_LOG_ERROR = 2,
    ASYNQ_LOG_NOTHING = 3
} asynq_log_level;

/*
 * Receives one line without a line end. `text` has what tasks and Redis have given, which may be
 * no UTF-8 or steer a terminal; it is valid during the call only. Called from the library's threads, never
 * from two at once for the same server or client, and must not call back into the library.
 */
typedef void (*asynq_log_cb)(asynq_log_level level, const char *text, void *arg);

/*
 * A ready callback: Asynq's own line form, on standard error. What could steer a terminal is escaped (\x1b, \u202e),
 * and a backslash is doubled. `arg` is ignored. Thread: any.
 */
ASYNQ_API void asynq_log_to_stderr(asynq_log_level level, const char *text, void *arg);

/* "DEBUG", "INFO", "WARN" or "ERROR". Thread: any. */
ASYNQ_API const char *asynq_log_level_name(asynq_log_level level);

/* Reads debug, info, warn, warning or error in any case. Returns 0, or ASYNQ_E_INVALID. Thread: any. */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_log_level_parse(const char *text, asynq_log_level *level, asynq_error *error);

#ifdef __cplusplus
}
#endif

#endif
