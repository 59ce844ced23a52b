/*
 * The library's memory. Everything is allocated through these four calls, so that tests can make each one fail.
 * Not for memory that other libraries hand out or take over.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_calloc(size_t count, size_t size);
void *mem_realloc(void *memory, size_t size);
void mem_free(void *memory);

/* Copies with a NUL byte behind, so that text and bytes can be treated alike. NULL on failure. */
char *mem_dup(const void *bytes, size_t length);
char *mem_strdup(const char *text);

/*
 * Test hook: when set, it is asked before each allocation, and the allocation fails if it answers false.
 * Set it only while no other thread runs.
 */
extern int (*mem_allow_hook)(void);

#endif
