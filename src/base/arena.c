/* See arena.h. */
#include "base/arena.h"

#include "base/alloc.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

/* Blocks grow from the first size to the last, so that an arena for one small record stays small. */
enum { ARENA_FIRST_BLOCK = 1024, ARENA_LAST_BLOCK = 16 * 1024 };

struct arena_block {
    arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) char bytes[];
};

void arena_init(arena *a, size_t limit)
{
    *a = (arena){.limit = limit, .first_block = ARENA_FIRST_BLOCK};
}

static arena_block *arena_add_block(arena *a, size_t size)
{
    size_t room = a->first_block;
    if (a->blocks)
        room = a->blocks->size < ARENA_LAST_BLOCK / 2 ? a->blocks->size * 2 : ARENA_LAST_BLOCK;
    if (room < size)
        room = size;
    arena_block *block = mem_alloc(sizeof *block + room);
    if (!block) {
        a->lacks_memory = true;
        return NULL;
    }
    *block = (arena_block){.next = a->blocks, .size = room};
    a->blocks = block;
    return block;
}

void *arena_alloc(arena *a, size_t size)
{
    const size_t unit = alignof(max_align_t);
    if (size > SIZE_MAX / 2 || (a->limit && size > a->limit - a->used))
        return NULL;
    size = (size + unit - 1) / unit * unit;

    arena_block *block = a->blocks;
    if (!block || block->size - block->used < size)
        block = arena_add_block(a, size);
    if (!block)
        return NULL;
    void *memory = block->bytes + block->used;
    block->used += size;
    a->used += size;
    if (a->limit && a->used > a->limit)
        a->used = a->limit;
    return memory;
}

char *arena_dup(arena *a, const void *bytes, size_t length)
{
    char *copy = arena_alloc(a, length + 1);
    if (!copy)
        return NULL;
    if (length)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

void arena_reset(arena *a)
{
    arena_block *kept = NULL;
    while (a->blocks) {
        arena_block *block = a->blocks;
        a->blocks = block->next;
        if (!kept && block->size <= ARENA_LAST_BLOCK)
            kept = block;
        else
            mem_free(block);
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
    }
    a->blocks = kept;
    a->used = 0;
    a->lacks_memory = false;
}

void arena_clear(arena *a)
{
    arena_reset(a);
    mem_free(a->blocks);
    a->blocks = NULL;
}

void *arena_grow(arena *a, void *array, size_t count, size_t *capacity, size_t element_size)
{
    if (count < *capacity)
        return array;
    size_t wanted = *capacity ? 2 * *capacity : 16;
    void *grown = arena_alloc(a, wanted * element_size);
    if (!grown)
        return NULL;
    if (count)
        memcpy(grown, array, count * element_size);
    *capacity = wanted;
    return grown;
}
