/* See clock.h. */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic int64_t clock_shift;
static _Atomic int64_t clock_frozen_at;

int64_t clock_now_ns(void)
{
    int64_t frozen_at = atomic_load_explicit(&clock_frozen_at, memory_order_relaxed);
    if (frozen_at)
        return frozen_at;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec + atomic_load_explicit(&clock_shift, memory_order_relaxed);
}

int64_t clock_steady_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * MS_PER_SECOND + now.tv_nsec / NS_PER_MS;
}

int64_t floor_div(int64_t value, int64_t divisor)
{
    int64_t quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

void clock_shift_ns(int64_t shift_ns)
{
    atomic_store(&clock_shift, shift_ns);
}

void clock_freeze_ns(int64_t at_ns)
{
    atomic_store(&clock_frozen_at, at_ns);
}

void clock_utc_date(int64_t at_ns, char *text)
{
    time_t seconds = (time_t)floor_div(at_ns, NS_PER_SECOND);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, 11, "%Y-%m-%d", &parts);
}
