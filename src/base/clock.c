/* See clock.h. */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int64_t clock_steady_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

int64_t clock_steady_ms(void)
{
    return clock_steady_ns() / NS_PER_MS;
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

bool clock_is_real_time(const struct tm *parts)
{
    struct tm same = *parts;
    timegm(&same); /* moves 30 February into March, and second 60 into the next minute */
    return same.tm_year == parts->tm_year && same.tm_mon == parts->tm_mon && same.tm_mday == parts->tm_mday &&
           same.tm_hour == parts->tm_hour && same.tm_min == parts->tm_min && same.tm_sec == parts->tm_sec;
}

/* Reads ".5" at *rest and moves behind it; upwards, as a moment must not come early. False: no digit follows. */
static bool clock_read_fraction(const char **rest, int64_t *ms)
{
    const char *digits = *rest + 1;
    size_t count = strspn(digits, "0123456789");
    for (size_t i = 0; i < 3; i++)
        *ms = 10 * *ms + (i < count ? digits[i] - '0' : 0);
    *ms += count > 3 && strspn(digits + 3, "0") < count - 3;
    *rest = digits + count;
    return count > 0;
}

bool clock_read_time(const char *text, int64_t *at_ms)
{
    struct tm parts = {0};
    int64_t ms = 0;
    const char *rest = strptime(text, "%Y-%m-%d", &parts);
    if (rest && (*rest == 'T' || *rest == 't' || *rest == ' '))
        rest = strptime(rest + 1, "%H:%M:%S", &parts);
    else
        return false;
    if (!rest || !clock_is_real_time(&parts) || (*rest == '.' && !clock_read_fraction(&rest, &ms)))
        return false;
    bool is_utc = strcmp(rest, "Z") == 0 || strcmp(rest, "z") == 0;
    if (!is_utc && *rest != '+' && *rest != '-')
        return false;
    rest = is_utc ? "" : strptime(rest, "%z", &parts);
    if (!rest || *rest)
        return false;
    long offset = is_utc ? 0 : parts.tm_gmtoff;
    *at_ms = ((int64_t)timegm(&parts) - offset) * MS_PER_SECOND + ms;
    return true;
}
