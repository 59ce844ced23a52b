/*
 * The wall clock, read in one place so that tests can move it, and a steady clock for intervals. Every time stamp
 * that goes to Redis is local wall-clock time, as in Go.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_SECOND INT64_C(1000000000)
#define MS_PER_SECOND INT64_C(1000)

/* Wall clock, nanoseconds since the Unix epoch. Thread: any. */
int64_t clock_now_ns(void);

/* Steady clock for intervals, milliseconds since some start. Thread: any. */
int64_t clock_steady_ms(void);
int64_t clock_steady_ns(void);

/* Division that rounds towards minus infinity, as whole seconds are cut in Redis scores. */
int64_t floor_div(int64_t value, int64_t divisor);

/* For tests: adds to every later reading of the wall clock; the second form stops it at a moment (0: runs again). */
void clock_shift_ns(int64_t shift_ns);
void clock_freeze_ns(int64_t at_ns);

/*
 * Reads "2006-01-02T15:04:05Z" (RFC 3339), with a fraction of a second or an offset such as +01:00. Unix ms, upwards.
 * False for what is no time, and for a day or a second that the calendar does not have.
 */
bool clock_read_time(const char *text, int64_t *at_ms);

/* Whether the calendar has this day and time: not 30 February, and not second 60. */
bool clock_is_real_time(const struct tm *parts);

/* "2006-01-02", the UTC date of a moment. `text` holds at least 11 bytes. */
void clock_utc_date(int64_t at_ns, char *text);

#endif
