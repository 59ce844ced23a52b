/* See buf.h. */
#include "base/buf.h"

#include "base/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Twice as much and one more is still a size. */
#define BUF_MAX_LENGTH (SIZE_MAX / 4)

void buf_init(buf *b, size_t limit)
{
    *b = (buf){.limit = limit};
}

void buf_fail(buf *b)
{
    buf_clear(b);
    b->failed = true;
}

char *buf_reserve(buf *b, size_t length)
{
    if (b->failed)
        return NULL;
    if (length > BUF_MAX_LENGTH - b->length || (b->limit && length > b->limit - b->length)) {
        buf_fail(b);
        return NULL;
    }
    size_t needed = b->length + length + 1;
    if (needed > b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 256;
        if (capacity < needed)
            capacity = needed;
        char *data = mem_realloc(b->data, capacity);
        if (!data) {
            buf_fail(b);
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->length;
}

void buf_append(buf *b, const void *bytes, size_t length)
{
    char *room = buf_reserve(b, length);
    if (!room)
        return;
    if (length)
        memcpy(room, bytes, length);
    b->length += length;
    b->data[b->length] = '\0';
}

void buf_append_text(buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_append_formatv(buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *room = length < 0 ? NULL : buf_reserve(b, (size_t)length);
    if (!room)
        return;
    vsnprintf(room, (size_t)length + 1, format, args);
    b->length += (size_t)length;
}

void buf_append_format(buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_append_formatv(b, format, args);
    va_end(args);
}

char *buf_take(buf *b)
{
    char *data = b->data;
    buf_init(b, b->limit);
    return data;
}

void buf_clear(buf *b)
{
    mem_free(b->data);
    buf_init(b, b->limit);
}
