/*
 * See printable.h. The table is made from Go's own, so that quoted texts are the same to the byte; libraries follow
 * other versions of Unicode, and would come into each program that enqueues a task.
 */
#include "base/printable.h"

#include <stddef.h>

typedef struct printable_range {
    uint32_t first, last;
} printable_range;

#include "base/printable_table.h"

static bool printable_is_in(uint32_t character, const printable_range *ranges, size_t count)
{
    size_t from = 0, to = count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (character > ranges[middle].last)
            from = middle + 1;
        else
            to = middle;
    }
    return from < count && character >= ranges[from].first;
}

#define IS_IN(character, ranges) printable_is_in(character, ranges, sizeof(ranges) / sizeof *(ranges))

bool is_printable(uint32_t character)
{
    return IS_IN(character, printable_ranges);
}

bool is_unseen(uint32_t character)
{
    return IS_IN(character, unseen_ranges);
}

bool is_mark(uint32_t character)
{
    return IS_IN(character, mark_ranges);
}
