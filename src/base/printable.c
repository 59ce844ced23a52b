/*
 * See printable.h. The table is made from Go's own, so that quoted texts are the same to the byte; libraries follow
 * other versions of Unicode, and GLib's would come into each program that enqueues a task.
 */
#include "base/printable.h"

#include <stddef.h>

typedef struct printable_range {
    uint32_t first, last;
} printable_range;

#include "base/printable_table.h"

bool is_printable(uint32_t character)
{
    size_t from = 0, to = sizeof printable_ranges / sizeof *printable_ranges;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (character > printable_ranges[middle].last)
            from = middle + 1;
        else
            to = middle;
    }
    return from < sizeof printable_ranges / sizeof *printable_ranges && character >= printable_ranges[from].first;
}
