/* Pauses that double from one failure to the next. */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

/* The pause after `last_ms`; 0: nothing has failed before. */
static inline int64_t backoff_next_ms(int64_t last_ms, int64_t shortest_ms, int64_t longest_ms)
{
    int64_t next_ms = last_ms ? 2 * last_ms : shortest_ms;
    return next_ms < longest_ms ? next_ms : longest_ms;
}

#endif
