/* Durations as people write them: "90s", "1h30m", "1.5d". Units are ms, s, m, h, d and w. */
#ifndef BASE_DURATION_H
#define BASE_DURATION_H

#include <stdbool.h>
#include <stdint.h>

#define DURATION_FORM "a duration such as 90s, 1h30m or 2d"

/* Reads a duration in ms; "0" needs no unit. False: it is none, or longer than 285,000 years. */
bool duration_read(const char *text, int64_t *ms);

#endif
