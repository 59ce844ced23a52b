/* Filling of the public error value. The list of codes stands in <asynq/error.h>. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <asynq/error.h>
#include <stdarg.h>

/* Sets `error` (which may be NULL) and returns `code`, so that a failing function can end with it. */
int error_set(asynq_error *error, int code, const char *format, ...) ASYNQ_PRINTF(3, 4);
int error_setv(asynq_error *error, int code, const char *format, va_list args) ASYNQ_PRINTF(3, 0);

/* The same with the general text of the code. */
int error_set_code(asynq_error *error, int code);

void error_clear(asynq_error *error);

#endif
