/*
 * Durations and sizes as people write them: "90s", "1h30m", "1.5d"; "64kB", "1.5MiB". Units of time are ms, s, m, h, d
 * and w; of size B, kB, MB, GB (thousands) and KiB, MiB, GiB (1024).
 */
#ifndef BASE_QUANTITY_H
#define BASE_QUANTITY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define DURATION_FORM "a duration such as 90s, 1h30m or 2d"
#define SIZE_FORM "a size such as 64kB or 1MiB"

/* Reads a duration in ms; "0" needs no unit. False: it is none, or longer than 285,000 years. */
bool duration_read(const char *text, int64_t *ms);
/* Reads a size in bytes; a number alone is bytes. False: it is none, or more than 9 PB. */
bool size_read(const char *text, int64_t *bytes);

/* Appends what the functions above read as the same quantity. */
void duration_append(buf *out, int64_t ms);
void size_append(buf *out, int64_t bytes);

#endif
