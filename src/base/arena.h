/*
 * An arena: many small allocations that are given back together. Carries a maximum, because what it holds usually
 * comes from outside. Not safe for several threads at once.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct arena_block arena_block;

typedef struct arena {
    arena_block *blocks; /* newest first */
    size_t used;         /* bytes handed out since the last reset */
    size_t limit;        /* max that may be handed out; 0: no limit */
    size_t first_block;  /* size of the first block; may be set before the first allocation */
    bool lacks_memory;   /* since the last reset, the allocator had none (which is not the limit) */
} arena;

void arena_init(arena *a, size_t limit);

/*
 * Aligned for any object. NULL if memory or the limit is exhausted: `lacks_memory` says which. What does not fit into
 * the limit is the fault of what comes from outside; want of memory is nobody's, and may be over at the next try.
 */
void *arena_alloc(arena *a, size_t size);

/* A copy with a NUL byte behind. NULL as above. */
char *arena_dup(arena *a, const void *bytes, size_t length);

/*
 * Makes room for one more element in an array that lives in the arena: `array` itself, or a copy of twice the capacity.
 * NULL as above. Begin with NULL and a capacity of 0.
 */
void *arena_grow(arena *a, void *array, size_t count, size_t *capacity, size_t element_size);

/* Gives everything back but keeps the newest block of ordinary size for the next round. */
void arena_reset(arena *a);

void arena_clear(arena *a);

#endif
