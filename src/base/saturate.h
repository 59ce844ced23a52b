/*
 * Arithmetic with numbers that come from Redis, from files or from callers: what would overflow becomes the largest or
 * the smallest number. Times and durations are converted here and nowhere else, each in the direction that its name
 * says.
 */
#ifndef BASE_SATURATE_H
#define BASE_SATURATE_H

#include "base/clock.h"

#include <stdint.h>

static inline int64_t saturating_add(int64_t a, int64_t b)
{
    int64_t sum;
    return !__builtin_add_overflow(a, b, &sum) ? sum : b > 0 ? INT64_MAX : INT64_MIN;
}

static inline int64_t saturating_sub(int64_t a, int64_t b)
{
    int64_t difference;
    return !__builtin_sub_overflow(a, b, &difference) ? difference : b < 0 ? INT64_MAX : INT64_MIN;
}

static inline int64_t saturating_mul(int64_t a, int64_t b)
{
    int64_t product;
    return !__builtin_mul_overflow(a, b, &product) ? product : (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static inline int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

/* 0 for what is not a number. */
static inline int64_t saturating_int(double number)
{
    if (number >= 0x1p63)
        return INT64_MAX;
    if (number <= -0x1p63)
        return INT64_MIN;
    return number == number ? (int64_t)number : 0;
}

static inline int64_t ms_of_seconds(int64_t seconds)
{
    return saturating_mul(seconds, MS_PER_SECOND);
}

static inline int64_t ns_of_seconds(int64_t seconds)
{
    return saturating_mul(seconds, NS_PER_SECOND);
}

static inline int64_t ns_of_ms(int64_t ms)
{
    return saturating_mul(ms, NS_PER_MS);
}

/* Division by a positive number that rounds up. */
static inline int64_t ceil_div(int64_t value, int64_t divisor)
{
    return value / divisor + (value % divisor > 0);
}

/* Whole seconds in which a duration or a moment is stored: never less than it is. */
static inline int64_t seconds_up_of_ms(int64_t ms)
{
    return ceil_div(ms, MS_PER_SECOND);
}

/* Of a duration that somebody wrote; a millionth of a ms is taken for the inexactness of binary fractions. */
static inline int64_t ms_up_of_seconds(double seconds)
{
    double ms = seconds * (double)MS_PER_SECOND;
    int64_t whole = saturating_int(ms);
    return whole < INT64_MAX && ms - (double)whole > 1e-6 ? whole + 1 : whole;
}

/* Of a score in Redis, which is seconds and may have a fraction; to the nearest ms, as binary fractions are not exact.
 */
static inline int64_t ms_of_score(double seconds)
{
    double ms = seconds * (double)MS_PER_SECOND;
    return saturating_int(ms < 0 ? ms - 0.5 : ms + 0.5);
}

#endif
