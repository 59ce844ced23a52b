/*
 * A sample as a text, as it is kept in Redis:
 *
 *     {"at":1700000000000,"since":1699990000000,"instances":2,"busiest":4,"leaving":0,"room":4,
 *      "queues":{"default":[pending,active,scheduled,retry,archived,processed,failed,latency_ms,paused]}}
 */
#ifndef DAEMON_SCALE_SAMPLE_H
#define DAEMON_SCALE_SAMPLE_H

#include "base/bytes.h"
#include "daemon/scale.h"

enum { SCALE_MAX_TEXT = 1 << 20 };

/* The text of a sample, for free(). NULL: out of memory, or it would be too long. */
char *scale_sample_print(const scale_sample *sample, const setting_pairs *queues);

/*
 * Reads one; its queues live in `memory`. Others may have written anything: a text that is not of these queues, or has
 * numbers that cannot be, is refused. False: see `problem`, which is a constant, or NULL when there is no memory.
 */
bool scale_sample_read(bytes text, const setting_pairs *queues, arena *memory, scale_sample *sample,
                       const char **problem);

#endif
