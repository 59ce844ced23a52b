/* See alloc.h. */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

int (*mem_allow_hook)(void);

static int mem_is_allowed(void)
{
    return !mem_allow_hook || mem_allow_hook();
}

void *mem_alloc(size_t size)
{
    return mem_is_allowed() ? malloc(size ? size : 1) : NULL;
}

void *mem_calloc(size_t count, size_t size)
{
    return mem_is_allowed() ? calloc(count ? count : 1, size ? size : 1) : NULL;
}

void *mem_realloc(void *memory, size_t size)
{
    return mem_is_allowed() ? realloc(memory, size ? size : 1) : NULL;
}

void mem_free(void *memory)
{
    free(memory);
}

char *mem_dup(const void *bytes, size_t length)
{
    char *copy = mem_alloc(length + 1);
    if (!copy)
        return NULL;
    if (length)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text));
}
