/*
 * How many workers are wanted. Everything is measured in Redis, so that all asynqds of a fleet come to the same answer,
 * and Go's workers count as well. For each queue, over the last `window`:
 *
 *     arrival = (processed + growth of pending and active) / window       tasks per second
 *     service = processed / window
 *     run     = mean of active / service                                  seconds per task (Little's law)
 *     slots   = arrival * run + pending * run / drain                     tasks at the same time
 *
 * and for all queues together workers = slots / (concurrency * utilisation), rounded up. Then, in this order:
 *
 *     the oldest task has waited longer than `latency`     at least one more than now
 *     more than `failure_rate` of the attempts fail         not more than now: more workers do not mend the target
 *     always                                                `least` to `most`
 *     a change of less than `hysteresis`                    as now
 *     fewer than now, and the last change is not `cool_down` ago    as now
 */
#ifndef DAEMON_SCALE_H
#define DAEMON_SCALE_H

#include "base/setting.h"

#include <stdint.h>

typedef struct scale_options {
    int64_t interval_ms, window_ms, drain_ms, latency_ms, cool_down_ms;
    int64_t utilisation, failure_rate, hysteresis; /* percent */
    int64_t least, most;
} scale_options;

extern const setting scale_table[];

enum { SCALE_MOST_QUEUES = 64, SCALE_MOST_SAMPLES = 128 };

/* A queue at a moment. */
typedef struct scale_queue {
    int64_t pending, active, scheduled, retry, archived;
    int64_t processed, failed; /* in all */
    int64_t latency_ms;
} scale_queue;

typedef struct scale_sample {
    int64_t at_ms;   /* Unix */
    int64_t workers; /* servers of these queues */
    scale_queue queues[SCALE_MOST_QUEUES];
} scale_sample;

typedef struct scale_rates {
    double arrival, service, failure; /* per s; failure: share of the attempts */
    double run_s;
    double slots;
} scale_rates;

/* What has been seen and said. Zeroed: nothing yet. */
typedef struct scale_state {
    scale_sample samples[SCALE_MOST_SAMPLES]; /* a ring */
    size_t count, next;
    int64_t wanted, changed_at_ms;
    const char *reason;
    scale_rates rates[SCALE_MOST_QUEUES];
} scale_state;

/* Adds a sample and decides anew. `concurrency` is that of a worker. */
void scale_add(scale_state *state, const scale_options *options, const scale_sample *sample, size_t queues,
               int64_t concurrency);
/* The newest sample; NULL: none yet. */
const scale_sample *scale_newest(const scale_state *state);

#endif
