/* A borrowed run of bytes. `data` NULL means absent, which differs from empty where the protocol says so. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct bytes {
    const char *data;
    size_t length;
} bytes;

static inline bytes bytes_of(const char *text)
{
    return (bytes){text, text ? strlen(text) : 0};
}

static inline bool bytes_equal(bytes a, bytes b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Arguments for "%.*s". */
#define BYTES_ARGS(b) (int)(b).length, (b).data ? (b).data : ""

#endif
