/* See backoff.h. */
#include "base/backoff.h"

#include <sys/random.h>

int64_t backoff_pause_ms(backoff *b, int64_t now_ms)
{
    uint32_t random = 0;
    int64_t lasting_ms = b->pause_ms > b->lasting_ms ? b->pause_ms : b->lasting_ms;
    if (now_ms - b->failed_at_ms > b->pause_ms + lasting_ms)
        b->pause_ms = 0;
    b->failed_at_ms = now_ms;
    b->pause_ms = backoff_next_ms(b->pause_ms, b->min_ms, b->max_ms);
    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    return b->pause_ms / 2 + random % (b->pause_ms / 2 + 1);
}
