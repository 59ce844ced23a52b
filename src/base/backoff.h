/*
 * Pauses that double from one failure to the next. They begin anew only when it then went well for longer than the last
 * pause: a success alone proves nothing, as what can be tried at once and is no good would be tried again and again.
 */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

/* The pause after `last_ms`; 0: nothing has failed before. */
static inline int64_t backoff_next_ms(int64_t last_ms, int64_t min_ms, int64_t max_ms)
{
    int64_t next_ms = last_ms ? 2 * last_ms : min_ms;
    return next_ms < max_ms ? next_ms : max_ms;
}

typedef struct backoff {
    int64_t min_ms, max_ms;
    int64_t lasting_ms;             /* shorter than this is no time in which something went well */
    int64_t pause_ms, failed_at_ms; /* the last ones; steady clock. Start with 0 */
} backoff;

/* Something failed: the pause until it is tried again, between a half of what the doubling says and all of it, so that
 * many that failed together do not come back together. */
int64_t backoff_pause_ms(backoff *b, int64_t now_ms);

/* It went well before what fails next. */
static inline void backoff_reset(backoff *b)
{
    b->pause_ms = 0;
}

#endif
