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

/*
 * The level of a log line, and the lowest level that is logged. Zero is INFO, so that a zeroed option struct logs as
 * Asynq does by default.
 */
typedef enum asynq_log_level {
    ASYNQ_LOG_DEBUG = -1, /* each step of each task */
    ASYNQ_LOG_INFO = 0,   /* start, end, and what an operator did */
    ASYNQ_LOG_WARN = 1,   /* what may need attention, such as a lost connection */
    ASYNQ_LOG_ERROR = 2,  /* what does not work */
    ASYNQ_LOG_OFF = 3     /* as the lowest level: no log */
} asynq_log_level;

/*
 * A function that receives lines of the log. Each call is one line, without a line end. `text` contains what came from
 * tasks and Redis: it may be invalid UTF-8 or have control sequences of terminals. It is valid during the call only.
 * The function must not call the library. Thread: the library's, never two at once for the same server or client.
 */
typedef void (*asynq_log_cb)(asynq_log_level level, const char *text, void *arg);

/*
 * Writes a line of the log to standard error, in Asynq's form: a callback for the `log` of options. Control characters
 * are escaped (\x1b, \u202e), and a backslash is doubled. `arg` is ignored. Thread: any.
 */
ASYNQ_API void asynq_log_to_stderr(asynq_log_level level, const char *text, void *arg);

/* Returns the name of a log level: "DEBUG", "INFO", "WARN" or "ERROR". Static storage. Thread: any. */
ASYNQ_API const char *asynq_log_level_name(asynq_log_level level);

/*
 * Reads the name of a log level: debug, info, warn, warning or error, in upper or lower case. Fills `level`. Returns 0,
 * or ASYNQ_E_INVALID (no such level). Thread: any.
 */
ASYNQ_API ASYNQ_MUST_CHECK int asynq_log_level_parse(const char *text, asynq_log_level *level, asynq_error *error);

#ifdef __cplusplus
}
#endif

#endif
