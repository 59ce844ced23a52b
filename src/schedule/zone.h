/*
 * Time zones, read from the system's files (RFC 9636, tzdata). No library is asked: docs/development.md says which were
 * weighed.
 */
#ifndef SCHEDULE_ZONE_H
#define SCHEDULE_ZONE_H

#include <asynq/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct zone zone;

/*
 * An IANA name ("Europe/Berlin"); "" and "UTC" need no files and give NULL, which stands for UTC. The files are in
 * $TZDIR or /usr/share/zoneinfo. Returns 0; ASYNQ_E_INVALID: there is no such zone, or its file is none;
 * ASYNQ_E_NO_MEMORY.
 */
ASYNQ_MUST_CHECK int zone_load(zone **loaded, const char *name, asynq_error *error);
/* From the bytes of a file. Returns 0, ASYNQ_E_INVALID: they are none, or ASYNQ_E_NO_MEMORY. */
ASYNQ_MUST_CHECK int zone_parse(zone **parsed, const void *data, size_t length);
void zone_free(zone *z);

/* Seconds east of UTC at a moment. Thread: any. */
int32_t zone_offset(const zone *z, int64_t unix_s);

/* The first second in (from, to] at which the clocks were changed; `to` if they were not. The two are less than a
 * hundred years apart. */
int64_t zone_change_within(const zone *z, int64_t from, int64_t to);

#endif
