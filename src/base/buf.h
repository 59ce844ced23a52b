/*
 * A growing byte buffer with a maximum. A failed append frees the buffer and marks it failed; later appends do
 * nothing. So a writer appends freely and asks once at the end (buf_failed).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <asynq/error.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct buf {
    char *data; /* followed by a NUL byte whenever it is not NULL */
    size_t length;
    size_t capacity;
    size_t limit; /* 0: no limit */
    bool failed;
} buf;

void buf_init(buf *b, size_t limit);
void buf_append(buf *b, const void *bytes, size_t length);
void buf_append_text(buf *b, const char *text);
void buf_append_format(buf *b, const char *format, ...) ASYNQ_PRINTF(2, 3);
void buf_append_formatv(buf *b, const char *format, va_list args) ASYNQ_PRINTF(2, 0);

/* Room for `length` more bytes, to be filled by the caller, who then adds to b->length. NULL on failure. */
char *buf_reserve(buf *b, size_t length);

/* Frees the buffer and marks it failed, as a failed append does. */
void buf_fail(buf *b);

static inline bool buf_failed(const buf *b)
{
    return b->failed;
}

/* Hands the bytes over to the caller (mem_free) and leaves the buffer empty. NULL if it failed or never had any. */
char *buf_take(buf *b);

void buf_clear(buf *b);

#endif
