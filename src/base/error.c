/* Error codes, their names and texts, all from the one list in <asynq/error.h>. */
#include "base/error.h"

#include <stddef.h>
#include <stdio.h>

typedef struct error_row {
    int code;
    bool retryable;
    const char *name;
    const char *text;
} error_row;

/* clang-format off */
static const error_row error_rows[] = {
    {0, false, "ASYNQ_OK", "success"},
#define ERROR_ROW(suffix, number, again, sentence) {number, again, "ASYNQ_E_" #suffix, sentence},
    ASYNQ_ERROR_MAP(ERROR_ROW)
#undef ERROR_ROW
};
/* clang-format on */

static const error_row error_row_of_an_unknown_code = {0, false, "ASYNQ_E_?", "unknown error code"};

static const error_row *error_row_find(int code)
{
    for (size_t i = 0; i < sizeof error_rows / sizeof *error_rows; i++)
        if (error_rows[i].code == code)
            return &error_rows[i];
    return &error_row_of_an_unknown_code;
}

const char *asynq_status_text(int code)
{
    return error_row_find(code)->text;
}

const char *asynq_status_name(int code)
{
    return error_row_find(code)->name;
}

bool asynq_status_is_retryable(int code)
{
    return error_row_find(code)->retryable;
}

int error_setv(asynq_error *error, int code, const char *format, va_list args)
{
    if (error) {
        error->code = code;
        vsnprintf(error->text, sizeof error->text, format, args);
    }
    return code;
}

int error_set(asynq_error *error, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_setv(error, code, format, args);
    va_end(args);
    return code;
}

int error_set_code(asynq_error *error, int code)
{
    return error_set(error, code, "%s", asynq_status_text(code));
}

void error_clear(asynq_error *error)
{
    if (error) {
        error->code = 0;
        error->text[0] = '\0';
    }
}
